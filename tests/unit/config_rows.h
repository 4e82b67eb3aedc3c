/* Tables of configurations and what is told of them, for test_config*.c.
 *
 * A text stands for the whole file k.yaml in /etc/k; "k.yaml:" is left out of what is told. */
#ifndef KEYSTILE_CONFIG_ROWS_H
#define KEYSTILE_CONFIG_ROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "buffer.h"
#include "config.h"

#define FOLDER "/etc/k"
#define PREFIX FOLDER "/k.yaml:"

struct told_row {
	const char *text;
	const char *told; /* a line for each message */
};

/* The lines without their file; also checks that each has one. */
static inline void join(const struct config_messages *messages, struct buffer *out)
{
	buffer_string(out, "");
	for (size_t i = 0; i < messages->count; i++) {
		struct span line = span_of(messages->list[i]);
		if (!span_starts(line, SPAN(PREFIX)))
			fail_msg("`%s` does not begin with " PREFIX, messages->list[i]);
		buffer_format(out, "%s%s", i ? "\n" : "", line.data + strlen(PREFIX));
	}
}

struct judged {
	struct config *config;
	struct buffer errors, warnings;
};

static inline struct judged judge(const char *text, bool found_here)
{
	struct judged judged = {0};
	struct config_messages errors = {0}, warnings = {0};
	judged.config = config_parse(span_of(text), FOLDER "/k.yaml", found_here, &errors, &warnings);
	join(&errors, &judged.errors);
	join(&warnings, &judged.warnings);
	config_messages_free(&errors);
	config_messages_free(&warnings);
	if (!judged.config != (judged.errors.length > 0))
		fail_msg("`%s`: a configuration and errors, or neither: `%s`", text, judged.errors.data);
	return judged;
}

static inline void judged_free(struct judged *judged)
{
	config_free(judged->config);
	buffer_free(&judged->errors);
	buffer_free(&judged->warnings);
}

/* A good configuration, which the caller frees. */
static inline struct config *good(const char *text)
{
	struct judged judged = judge(text, false);
	if (!judged.config)
		fail_msg("`%s`: refused: %s", text, judged.errors.data);
	struct config *config = judged.config;
	judged.config = NULL;
	judged_free(&judged);
	return config;
}

/* What differs is told row by row; settle() then fails. */
static unsigned differences;

static inline void compare(const char *text, const char *what, const char *came, const char *should)
{
	if (strcmp(came, should) == 0)
		return;
	differences++;
	fprintf(stderr, "`%s`\n%s came:\n%s\nshould be:\n%s\n", text, what, came, should);
}

static inline void settle(void)
{
	unsigned count = differences;
	differences = 0;
	if (count)
		fail_msg("%u of what was told differs from what should be", count);
}

static inline void expect_errors(const struct told_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct judged judged = judge(rows[i].text, false);
		compare(rows[i].text, "errors", judged.errors.data, rows[i].told);
		judged_free(&judged);
	}
	settle();
}

static inline void expect_warnings(const struct told_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct judged judged = judge(rows[i].text, false);
		compare(rows[i].text, "errors", judged.errors.data, "");
		compare(rows[i].text, "warnings", judged.warnings.data, rows[i].told);
		judged_free(&judged);
	}
	settle();
}

#define ROWS(array) (array), sizeof(array) / sizeof *(array)

#endif
