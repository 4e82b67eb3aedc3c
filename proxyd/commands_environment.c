/* What of our environment a command gets: not what the service manager told us alone, and no secret of another credential. */
#include "commands_internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory.h"

/* Of sd_notify(3), sd_listen_fds(3) and sd_watchdog_enabled(3): a command that is told of them speaks for us. */
static const char *const manager[] = {"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID"};

/* One NUL behind each, as no name has one. */
void environment_note(struct buffer *names, const struct source *source)
{
	if (source->kind == SOURCE_ENV)
		buffer_append(names, source->name, strlen(source->name) + 1);
}

static bool has(const struct buffer *names, struct span name)
{
	for (size_t at = 0; at < names->length; at += strlen(names->data + at) + 1)
		if (span_equal(span_of(names->data + at), name))
			return true;
	return false;
}

static bool is_managers(struct span name)
{
	for (size_t i = 0; i < sizeof manager / sizeof *manager; i++)
		if (span_equal(span_of(manager[i]), name))
			return true;
	return false;
}

char **environment_for_command(const struct buffer *secrets, const struct buffer *own)
{
	size_t count = 0, kept = 0;
	while (environ && environ[count])
		count++;
	char **list = memory_array(count + 1, sizeof *list);
	for (size_t i = 0; i < count; i++) {
		struct span name = span_head(span_of(environ[i]), strcspn(environ[i], "="));
		if (!is_managers(name) && (!has(secrets, name) || has(own, name)))
			list[kept++] = environ[i];
	}
	return list;
}
