#include "format.h"

#include <stdlib.h>

#include "memory.h"

static bool is_name(const char *name)
{
	static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
	static const char rest[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
	return *name && strchr(first, *name) && name[strspn(name, rest)] == 0;
}

/* Within single quotes nothing is special in any POSIX shell but the single quote itself. */
static bool write_sh(const struct variable *variable, struct buffer *out)
{
	if (!is_name(variable->name))
		return false;
	buffer_format(out, "export %s='", variable->name);
	for (const char *at = variable->value; *at; at++) {
		if (*at == '\'')
			buffer_string(out, "'\\''");
		else
			buffer_char(out, *at);
	}
	buffer_string(out, "'\n");
	return true;
}

const struct format format_list[] = {
	{"sh", write_sh, "# "}, {"dotenv", NULL, NULL}, {"docker", NULL, NULL}, {"systemd", NULL, NULL},
	{"github", NULL, NULL}, {"json", NULL, NULL},   {"fish", NULL, NULL},   {"k8s", NULL, NULL},
};

const size_t format_count = sizeof format_list / sizeof *format_list;

const struct format *format_find(const char *name, struct fault *fault)
{
	AUTO_BUFFER struct buffer built = {0};
	for (size_t i = 0; i < format_count; i++) {
		const struct format *format = &format_list[i];
		if (strcmp(format->name, name) == 0 && format->write)
			return format;
		if (format->write)
			buffer_format(&built, "%s%s", built.length ? ", " : "", format->name);
	}
	for (size_t i = 0; i < format_count; i++)
		if (strcmp(format_list[i].name, name) == 0) {
			fault_set(fault, FAULT_USAGE, "--format %s is not built yet; there is: %s", name, built.data);
			return NULL;
		}
	fault_set(fault, FAULT_USAGE, "--format %s: there is no such format; there is: %s", name, built.data);
	return NULL;
}

void format_write(const struct format *format, struct environment *environment, struct buffer *out)
{
	const char *reason = "";
	for (size_t i = 0; i < environment->count; i++) {
		const struct variable *variable = &environment->list[i];
		if (format->comment && strcmp(reason, variable->reason) != 0)
			buffer_format(out, "%s%s\n", format->comment, variable->reason);
		reason = variable->reason;
		if (!format->write(variable, out))
			environment_leave_out(environment, "%s: the format %s cannot hold it", variable->name, format->name);
	}
}
