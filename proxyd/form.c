#include "form.h"

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = span_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one byte, as it is meant, off the start. */
static char take(struct span *rest)
{
	char c = rest->data[0];
	int high = c == '%' && rest->length >= 3 ? hex_value(rest->data[1]) : -1;
	int low = high >= 0 ? hex_value(rest->data[2]) : -1;
	*rest = span_from(*rest, low >= 0 ? 3 : 1);
	if (low >= 0)
		return (char)(high << 4 | low);
	return c == '+' ? ' ' : c;
}

bool form_equal(struct span encoded, struct span plain)
{
	while (encoded.length > 0 && plain.length > 0) {
		if (take(&encoded) != plain.data[0])
			return false;
		plain = span_from(plain, 1);
	}
	return encoded.length == 0 && plain.length == 0;
}

size_t form_decode(struct span encoded, char *out)
{
	size_t length = 0;
	while (encoded.length > 0)
		out[length++] = take(&encoded);
	return length;
}
