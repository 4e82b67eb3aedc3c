#include "preset.h"

#include <stdlib.h>

static int compare(const void *name, const void *preset)
{
	const struct span *wanted = name;
	struct span have = span_of(((const struct preset *)preset)->name);
	size_t shorter = wanted->length < have.length ? wanted->length : have.length;
	int order = shorter ? memcmp(wanted->data, have.data, shorter) : 0;
	return order ? order : (wanted->length > have.length) - (wanted->length < have.length);
}

const struct preset *preset_find(struct span name)
{
	return bsearch(&name, preset_list, preset_count, sizeof *preset_list, compare);
}
