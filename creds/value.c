#include "value.h"

/* A key in PEM or a service account in JSON has lines by nature. */
static bool has_lines_by_nature(struct span value)
{
	return span_starts(value, SPAN("-----BEGIN ")) || span_starts(value, SPAN("{"));
}

const char *value_oddity(struct span value)
{
	if (span_trim(value).length != value.length)
		return "begins or ends with a blank, and is stored with it; is that meant?";
	if (has_lines_by_nature(value))
		return NULL;
	if (memchr(value.data, '\n', value.length) || memchr(value.data, '\r', value.length))
		return "has several lines; proxyd takes that for the keys of `jwt` and `client` only";
	if (memchr(value.data, '\t', value.length))
		return "has a tab inside; proxyd takes that for the keys of `jwt` and `client` only";
	return NULL;
}
