/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef KEYSTILE_UTF8_H
#define KEYSTILE_UTF8_H

#include <stdint.h>

#include "span.h"

/* Bytes of the character that `text` starts with, 1 to 4; 0 where it starts with none. `text` is not empty. */
static inline size_t utf8_length(struct span text)
{
	const unsigned char *b = (const unsigned char *)text.data;
	if (b[0] < 0x80)
		return 1;
	size_t size = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
	if (b[0] < 0xc2 || b[0] > 0xf4 || text.length < size)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((b[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xf0 && b[1] < 0x90);
	bool outside = (b[0] == 0xed && b[1] > 0x9f) || (b[0] == 0xf4 && b[1] > 0x8f);
	return overlong || outside ? 0 : size;
}

/* The code of the control character that `text` starts with, -1 where it starts with none. Beside C0 and DEL these are C1, two
 * bytes each: U+009B begins what a terminal takes for a command, as ESC [ does. `text` is not empty. */
static inline int utf8_control(struct span text)
{
	const unsigned char *b = (const unsigned char *)text.data;
	if (b[0] < 0x20 || b[0] == 0x7f)
		return b[0];
	return text.length > 1 && b[0] == 0xc2 && b[1] >= 0x80 && b[1] < 0xa0 ? b[1] : -1;
}

#endif
