#include <dlfcn.h>
#include <stdlib.h>

#include "file.h"
#include "isolation_internal.h"
#include "memory.h"

#define NSSWITCH "/etc/nsswitch.conf"
#define NSSWITCH_LIMIT ((size_t)64 << 10)

/* Kept loaded for as long as proxyd runs. One that is not there is not there later either. */
static void load(const char *name)
{
	dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

/* `hosts: files mdns4_minimal [NOTFOUND=return] dns`: glibc loads the module of a service when a look-up gets to it. */
static void load_services(struct span line)
{
	while (line.length > 0) {
		size_t length = 0;
		line = span_trim(line);
		while (length < line.length && line.data[length] != ' ' && line.data[length] != '\t')
			length++;
		struct span word = {line.data, length};
		line = span_from(line, length);
		if (length == 0 || word.data[0] == '[' || memchr(word.data, '/', length) || memchr(word.data, '=', length))
			continue;
		AUTO_FREE char *service = memory_span(word);
		AUTO_FREE char *name = memory_format("libnss_%s.so.2", service);
		load(name);
	}
}

static void load_name_services(void)
{
	static const struct span key = {"hosts:", 6};
	AUTO_BUFFER struct buffer file = {0};
	if (!file_read(NSSWITCH, NSSWITCH_LIMIT, &file, NULL))
		return;
	struct span rest = buffer_view(&file);
	while (rest.length > 0) {
		const char *end = memchr(rest.data, '\n', rest.length);
		size_t length = end ? (size_t)(end - rest.data) : rest.length;
		struct span line = span_trim((struct span){rest.data, length});
		const char *comment = line.length ? memchr(line.data, '#', line.length) : NULL;
		rest = span_from(rest, end ? length + 1 : length);
		if (comment)
			line.length = (size_t)(comment - line.data);
		if (span_starts(line, key))
			load_services(span_from(line, key.length));
	}
}

void isolation_load_libraries(void)
{
	load("libgcc_s.so.1"); /* glibc unwinds a thread by it that another one cancels */
	load_name_services();
}
