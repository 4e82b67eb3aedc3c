#include "format.h"

#include <stdlib.h>

#include "memory.h"
#include "noproxy.h"

/* What docker and kubectl read a line at a time with room for so much, line feed included. kubectl drops what is longer, and
 * all behind it, without a word. */
#define LINE_MOST 65534

/* What needs no quotes, whoever reads it. */
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define PLAIN LETTERS DIGITS "._:/,@%-"

static bool is_name(const char *name)
{
	return *name && strchr(LETTERS "_", *name) && name[strspn(name, LETTERS DIGITS "_")] == 0;
}

static bool is_plain(const char *value)
{
	return *value && value[strspn(value, PLAIN)] == 0;
}

/* The value between `quote` and `quote`, with `escape` in front of each of `special`. */
static void write_quoted(const char *value, char quote, const char *special, const char *escape, struct buffer *out)
{
	buffer_char(out, quote);
	for (; *value; value++) {
		if (strchr(special, *value))
			buffer_string(out, escape);
		buffer_char(out, *value);
	}
	buffer_char(out, quote);
}

/* Within single quotes nothing is special in any POSIX shell but the single quote itself. */
static const char *write_sh(const struct variable *variable, struct buffer *out)
{
	buffer_format(out, "export %s='", variable->name);
	for (const char *at = variable->value; *at; at++) {
		if (*at == '\'')
			buffer_string(out, "'\\''");
		else
			buffer_char(out, *at);
	}
	buffer_string(out, "'\n");
	return NULL;
}

/* What all readers of such files take alike: Node's and Python's dotenv, node --env-file, docker compose. None of them reads
 * a quote within its like, escapes differ, and Python's fills in ${NAME} within single quotes too. */
static const char *write_dotenv(const struct variable *variable, struct buffer *out)
{
	const char *value = variable->value;
	size_t length = strlen(value);
	bool single = !strchr(value, '\'') && !strstr(value, "\\\\") && !(length && value[length - 1] == '\\');
	if (strstr(value, "${"))
		return "its readers would fill in what it has behind `${`";
	if (!is_plain(value) && !single && strpbrk(value, "\"\\$`"))
		return "its readers differ in how a quote or a backslash within quotes is written";
	buffer_format(out, "%s=", variable->name);
	if (is_plain(value))
		buffer_string(out, value);
	else
		write_quoted(value, single ? '\'' : '"', "", "", out);
	buffer_char(out, '\n');
	return NULL;
}

/* All behind "=" is the value, quotes and blanks too. */
static const char *write_literal(const struct variable *variable, struct buffer *out)
{
	buffer_format(out, "%s=%s\n", variable->name, variable->value);
	return NULL;
}

/* EnvironmentFile= knows these escapes within double quotes, and fills nothing in. */
static const char *write_systemd(const struct variable *variable, struct buffer *out)
{
	buffer_format(out, "%s=", variable->name);
	if (is_plain(variable->value))
		buffer_string(out, variable->value);
	else
		write_quoted(variable->value, '"', "\"\\`$", "\\", out);
	buffer_char(out, '\n');
	return NULL;
}

/* $GITHUB_ENV takes NAME=value to the end of the line. The runner keeps some names to itself. */
static const char *write_github(const struct variable *variable, struct buffer *out)
{
	const struct span name = span_of(variable->name);
	if (span_equal_nocase(name, SPAN("NODE_OPTIONS")))
		return "the runner refuses it";
	if ((span_starts(name, SPAN("GITHUB_")) && !span_equal(name, SPAN("GITHUB_TOKEN"))) ||
	    span_starts(name, SPAN("RUNNER_")) || span_equal(name, SPAN("CI")))
		return "the runner sets it itself, in every step";
	return write_literal(variable, out);
}

static const char *write_json(const struct variable *variable, struct buffer *out)
{
	buffer_string(out, "  \"");
	buffer_json(out, span_of(variable->name));
	buffer_string(out, "\": \"");
	buffer_json(out, span_of(variable->value));
	buffer_char(out, '"');
	return NULL;
}

static const char *write_fish(const struct variable *variable, struct buffer *out)
{
	buffer_format(out, "set -gx %s ", variable->name);
	write_quoted(variable->value, '\'', "'\\", "\\", out);
	buffer_char(out, '\n');
	return NULL;
}

const struct format format_list[] = {
	{"sh", "any POSIX shell: . ./agent.env", write_sh, "", "", "", true, "# ", NOPROXY_VARIABLE, false},
	{"dotenv", "dotenv of Node and Python, node --env-file, docker compose", write_dotenv, "", "", "", false, "# ",
	 NOPROXY_VARIABLE, false},
	{"docker", "docker run --env-file", write_literal, "", "", "", false, "# ", LINE_MOST, false},
	{"systemd", "EnvironmentFile= of a unit", write_systemd, "", "", "", false, "# ", NOPROXY_VARIABLE, false},
	{"github", "$GITHUB_ENV, with the tokens masked", write_github, "", "", "", false, NULL, NOPROXY_VARIABLE, true},
	{"json", "one object", write_json, "{\n", ",\n", "\n}\n", true, NULL, NOPROXY_VARIABLE, false},
	{"fish", "source agent.fish", write_fish, "", "", "", true, "# ", NOPROXY_VARIABLE, false},
	{"k8s", "kubectl create configmap or secret --from-env-file", write_literal, "", "", "", false, "# ", LINE_MOST, false},
};

const size_t format_count = sizeof format_list / sizeof *format_list;

const struct format *format_find(const char *name, struct fault *fault)
{
	AUTO_BUFFER struct buffer names = {0};
	for (size_t i = 0; i < format_count; i++) {
		if (strcmp(format_list[i].name, name) == 0)
			return &format_list[i];
		buffer_format(&names, "%s%s", i ? ", " : "", format_list[i].name);
	}
	fault_set(fault, FAULT_USAGE, "--format %s: there is no such format; there is: %s", name, names.data);
	return NULL;
}

/* Appends one variable, or tells why it cannot be held. */
static bool write_variable(const struct format *format, const struct variable *variable, struct environment *environment,
                           struct buffer *out)
{
	size_t length = strlen(variable->name) + 1 + strlen(variable->value);
	if (length > format->most) {
		environment_leave_out(environment, "%s: it has %zu bytes with its name, and the format %s holds %zu at most",
		                      variable->name, length, format->name, format->most);
		return false;
	}
	bool has_lines = strpbrk(variable->value, "\n\r") != NULL;
	const char *why = !is_name(variable->name)      ? "no shell has a variable of that name"
	                  : has_lines && !format->lines ? "it has a line break"
	                                                : format->write(variable, out);
	if (why)
		environment_leave_out(environment, "%s: the format %s cannot hold it: %s", variable->name, format->name, why);
	return !why;
}

void format_write(const struct format *format, struct environment *environment, struct buffer *out)
{
	const char *reason = "", *before = "";
	buffer_string(out, format->start);
	for (size_t i = 0; i < environment->count; i++) {
		const struct variable *variable = &environment->list[i];
		AUTO_WIPE struct buffer text = {0};
		if (!write_variable(format, variable, environment, &text))
			continue;
		buffer_string(out, before);
		if (format->comment && strcmp(reason, variable->reason) != 0)
			buffer_format(out, "%s%s\n", format->comment, variable->reason);
		reason = variable->reason;
		before = format->between;
		buffer_span(out, buffer_view(&text));
	}
	buffer_string(out, format->end);
}

/* Within the data of a workflow command "%" begins an escape. */
void format_masks(const struct environment *environment, struct buffer *out)
{
	for (size_t i = 0; i < environment->token_count; i++) {
		buffer_string(out, "::add-mask::");
		for (const char *at = environment->tokens[i]; *at; at++)
			buffer_string(out, *at == '%' ? "%25" : (char[]){*at, 0});
		buffer_char(out, '\n');
	}
}
