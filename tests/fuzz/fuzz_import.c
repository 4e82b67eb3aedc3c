/* Any file as an .env file: it ends, lines only grow, and what is given lies within what was read. */
#include <stdint.h>
#include <stdlib.h>

#include "dotenv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dotenv reader = {.rest = {size ? (const char *)data : "", size}, .line = 1};
	struct dotenv_entry entry;
	struct fault fault = FAULT_INIT;
	unsigned line = 1;
	size_t left = size;
	while (dotenv_next(&reader, &entry, &fault) != DOTENV_END) {
		if (reader.rest.length >= left || entry.line < line || entry.value.length > 2 * size)
			abort();
		left = reader.rest.length;
		line = entry.line;
	}
	dotenv_end(&reader);
	return 0;
}
