#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "quantity.h"
#include "utf8.h"

void text_time(uint64_t seconds, char out[TEXT_TIME])
{
	time_t moment = (time_t)seconds;
	struct tm parts;
	if (!gmtime_r(&moment, &parts) || strftime(out, TEXT_TIME, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
		snprintf(out, TEXT_TIME, "unknown");
}

/* Takes `count` digits, and `behind` where it is not 0, off `*rest`. */
static bool take_digits(struct span *rest, size_t count, char behind, int *number)
{
	size_t length = count + (behind ? 1 : 0);
	*number = 0;
	for (size_t i = 0; i < count && rest->length >= length; i++) {
		if (rest->data[i] < '0' || rest->data[i] > '9')
			return false;
		*number = *number * 10 + (rest->data[i] - '0');
	}
	if (rest->length < length || (behind && span_lower(rest->data[count]) != behind))
		return false;
	*rest = span_from(*rest, length);
	return true;
}

/* What stands behind the seconds. */
static bool is_utc(struct span rest)
{
	size_t digits = 0;
	while (rest.length > digits + 1 && rest.data[0] == '.' && rest.data[digits + 1] >= '0' && rest.data[digits + 1] <= '9')
		digits++;
	rest = span_from(rest, digits ? digits + 1 : 0);
	return span_equal_nocase(rest, SPAN("Z")) || span_equal(rest, SPAN("+00:00"));
}

bool text_parse_time(struct span text, uint64_t *seconds)
{
	struct tm parts = {0};
	if (!take_digits(&text, 4, '-', &parts.tm_year) || !take_digits(&text, 2, '-', &parts.tm_mon) ||
	    !take_digits(&text, 2, 't', &parts.tm_mday) || !take_digits(&text, 2, ':', &parts.tm_hour) ||
	    !take_digits(&text, 2, ':', &parts.tm_min) || !take_digits(&text, 2, 0, &parts.tm_sec) || !is_utc(text))
		return false;
	parts.tm_year -= 1900;
	parts.tm_mon -= 1;
	struct tm whole = parts;
	time_t moment = timegm(&whole); /* mends what is no date, such as 30 February, into another one */
	*seconds = (uint64_t)moment;
	return moment > 0 && whole.tm_mon == parts.tm_mon && whole.tm_mday == parts.tm_mday && whole.tm_hour == parts.tm_hour &&
	       whole.tm_min == parts.tm_min;
}

void text_span_of_time(uint64_t from, uint64_t to, char out[TEXT_TIME])
{
	static const struct {
		uint64_t seconds;
		const char *name;
	} units[] = {{365 * 86400, "year"}, {86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
	uint64_t length = to > from ? to - from : 0;
	size_t unit = 0;
	while (unit < 4 && length < 2 * units[unit].seconds) /* "36 hours" says more than "1 day" */
		unit++;
	uint64_t number = length / units[unit].seconds;
	snprintf(out, TEXT_TIME, "%" PRIu64 " %s%s", number, units[unit].name, number == 1 ? "" : "s");
}

static bool parse_date(const char *text, uint64_t *seconds)
{
	struct tm parts = {0};
	const char *end = strptime(text, "%Y-%m-%d", &parts);
	int day = parts.tm_mday;
	if (!end || *end || strlen(text) != 10)
		return false;
	time_t moment = timegm(&parts);
	*seconds = (uint64_t)moment;
	return moment > 0 && parts.tm_mday == day; /* 2027-02-30 is no date */
}

bool text_parse_expiry(struct span text, uint64_t now, uint64_t *seconds, struct fault *fault)
{
	AUTO_FREE char *string = memory_span(text);
	uint64_t milliseconds;
	if (span_equal(text, SPAN("never"))) {
		*seconds = 0;
		return true;
	}
	if (quantity_duration(text, &milliseconds, NULL) && milliseconds / 1000 > 0 && milliseconds / 1000 < UINT32_MAX) {
		*seconds = now + milliseconds / 1000;
		return true;
	}
	if (!parse_date(string, seconds))
		return fault_set(fault, FAULT_USAGE, "--expires %s: write 90d, 12h, a day such as 2027-01-31, or never", string);
	return *seconds > now || fault_set(fault, FAULT_USAGE, "--expires %s: that day has passed", string);
}

struct buffer *text_cell(struct text_table *table)
{
	table->cells = memory_grow(table->cells, table->count, &table->capacity, sizeof *table->cells);
	struct buffer *cell = &table->cells[table->count++];
	*cell = (struct buffer){0};
	return cell;
}

/* Characters, not bytes: a label may be any UTF-8. */
static size_t width_of(const struct buffer *cell)
{
	size_t width = 0;
	for (struct span rest = buffer_view(cell); rest.length > 0; width++) {
		size_t size = utf8_length(rest);
		rest = span_from(rest, size ? size : 1);
	}
	return width;
}

static size_t column_width(const struct text_table *table, size_t column)
{
	size_t widest = 0;
	for (size_t i = column; i < table->count; i += table->columns) {
		size_t width = width_of(&table->cells[i]);
		widest = width > widest ? width : widest;
	}
	return widest;
}

void text_table_write(const struct text_table *table, struct buffer *out)
{
	size_t *widths = memory_array(table->columns, sizeof *widths);
	for (size_t i = 0; i < table->columns; i++)
		widths[i] = column_width(table, i);
	for (size_t i = 0; i < table->count; i++) {
		size_t column = i % table->columns;
		buffer_span(out, buffer_view(&table->cells[i]));
		size_t fill = column + 1 < table->columns ? widths[column] - width_of(&table->cells[i]) + 2 : 0;
		while (fill-- > 0)
			buffer_char(out, ' ');
		if (column + 1 < table->columns)
			continue;
		while (span_ends(buffer_view(out), SPAN(" "))) /* of empty cells at the end */
			out->length--;
		buffer_char(out, '\n');
	}
	free(widths);
}

void text_table_free(struct text_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		buffer_free(&table->cells[i]);
	free(table->cells);
}

static void comma(struct buffer *out)
{
	if (out->length > 0 && !strchr("{[", out->data[out->length - 1]))
		buffer_char(out, ',');
}

void json_key(struct buffer *out, const char *name)
{
	comma(out);
	buffer_format(out, "\"%s\":", name);
}

void json_element(struct buffer *out, struct span text)
{
	comma(out);
	buffer_char(out, '"');
	buffer_json(out, text);
	buffer_char(out, '"');
}

void json_text(struct buffer *out, const char *name, struct span text)
{
	json_key(out, name);
	buffer_char(out, '"');
	buffer_json(out, text);
	buffer_char(out, '"');
}

void json_time(struct buffer *out, const char *name, uint64_t seconds)
{
	char text[TEXT_TIME];
	text_time(seconds, text);
	if (seconds) {
		json_text(out, name, span_of(text));
		return;
	}
	json_key(out, name);
	buffer_string(out, "null");
}

void json_number(struct buffer *out, const char *name, uint64_t number)
{
	json_key(out, name);
	buffer_format(out, "%" PRIu64, number);
}

void json_bool(struct buffer *out, const char *name, bool value)
{
	json_key(out, name);
	buffer_string(out, value ? "true" : "false");
}

void json_open(struct buffer *out, const char *name, char bracket)
{
	if (name)
		json_key(out, name);
	else
		comma(out);
	buffer_char(out, bracket);
}

bool text_print(struct span text, struct fault *fault)
{
	fflush(stdout);
	return file_write_all(STDOUT_FILENO, text) || fault_errno(fault, "cannot write to standard output");
}

bool text_same(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}
