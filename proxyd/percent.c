#include "percent.h"

static bool is_unreserved(char c)
{
	char lower = span_lower(c);
	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
}

size_t percent_encode(struct span text, const char *kept, char *out)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t used = 0;
	for (size_t i = 0; i < text.length; i++) {
		unsigned char byte = (unsigned char)text.data[i];
		if (is_unreserved(text.data[i]) || (byte && strchr(kept, byte))) {
			out[used++] = text.data[i];
			continue;
		}
		out[used++] = '%';
		out[used++] = digits[byte >> 4];
		out[used++] = digits[byte & 15];
	}
	return used;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = span_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that an escape at the start of `text` stands for, or -1. */
static int escape_value(struct span text)
{
	int high = text.length >= 3 && text.data[0] == '%' ? hex_value(text.data[1]) : -1;
	int low = high >= 0 ? hex_value(text.data[2]) : -1;
	return low >= 0 ? high << 4 | low : -1;
}

size_t percent_decode(struct span text, bool plus, char *out)
{
	size_t used = 0;
	for (size_t i = 0; i < text.length; i++) {
		int byte = escape_value(span_from(text, i));
		if (byte >= 0) {
			out[used++] = (char)byte;
			i += 2;
		} else {
			out[used++] = plus && text.data[i] == '+' ? ' ' : text.data[i];
		}
	}
	return used;
}
