/* What is wrong with a file: collected while it is read, told sorted by place, with the key that was meant. */
#include <stdarg.h>
#include <stdio.h>

#include "config_internal.h"
#include "memory.h"

#define GUESS_LENGTH 64

static char *escaped(struct arena *arena, const char *text)
{
	struct span whole = span_of(text);
	if (!config_has_control(whole))
		return arena_copy(arena, text, whole.length);
	char *out = arena_alloc(arena, whole.length * 4 + 1), *end = out;
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c < 0x20 || c == 0x7f)
			end += sprintf(end, "\\x%02x", c);
		else
			*end++ = (char)c;
	}
	*end = 0;
	return out;
}

void config_report_line(struct report *report, unsigned line, unsigned column, const char *text)
{
	report->list = memory_grow(report->list, report->count, &report->capacity, sizeof *report->list);
	report->list[report->count] = (struct report_line){line, column, report->count, text};
	report->count++;
}

void config_report_add(struct reading *reading, struct report *report, unsigned line, unsigned column, const char *text)
{
	config_report_line(report, line, column, escaped(reading->nodes, text));
}

void config_document_error(void *context, unsigned line, unsigned column, const char *text)
{
	struct reading *reading = context;
	const struct node *entry = reading->entry;
	config_report_add(reading, &reading->errors, entry ? entry->line : line, entry ? entry->column : column, text);
}

/* A place in a preset means nothing to the user: the entry that named it does. */
struct mark config_mark(const struct reading *reading, const struct node *node)
{
	if (reading->entry)
		node = reading->entry;
	return (struct mark){reading->config->file, node->line, node->column};
}

__attribute__((format(printf, 4, 0)))
static void add(struct reading *reading, struct report *report, struct mark mark, const char *format, va_list arguments)
{
	char text[2000];
	vsnprintf(text, sizeof text, format, arguments);
	config_report_add(reading, report, mark.line, mark.column, text);
}

void config_error(struct reading *reading, const struct node *node, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add(reading, &reading->errors, config_mark(reading, node), format, arguments);
	va_end(arguments);
}

void config_error_at(struct reading *reading, struct mark mark, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add(reading, &reading->errors, mark, format, arguments);
	va_end(arguments);
}

void config_warning_at(struct reading *reading, struct mark mark, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	add(reading, &reading->warnings, mark, format, arguments);
	va_end(arguments);
}

static int compare_lines(const void *left, const void *right)
{
	const struct report_line *a = left, *b = right;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->column != b->column)
		return a->column < b->column ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

void config_message_add(struct config_messages *messages, char *line)
{
	messages->list = memory_grow(messages->list, messages->count, &messages->capacity, sizeof *messages->list);
	messages->list[messages->count++] = line;
}

/* A node with several aliases is wrong at one place only. */
static bool told_before(const struct report *report, size_t i)
{
	for (size_t k = i; k-- > 0 && report->list[k].line == report->list[i].line &&
	                   report->list[k].column == report->list[i].column && i - k < 100;)
		if (!strcmp(report->list[k].text, report->list[i].text))
			return true;
	return false;
}

void config_report_write(struct report *report, const char *file, struct config_messages *messages)
{
	if (report->count && messages) {
		qsort(report->list, report->count, sizeof *report->list, compare_lines);
		for (size_t i = 0; i < report->count; i++)
			if (!told_before(report, i))
				config_message_add(messages, memory_format("%s:%u:%u: %s", file, report->list[i].line,
				                                           report->list[i].column, report->list[i].text));
	}
	free(report->list);
	*report = (struct report){0};
}

void config_messages_tell(const struct config_messages *messages, void (*log)(const char *format, ...))
{
	for (size_t i = 0; i < messages->count; i++)
		log("%s", messages->list[i]);
}

void config_messages_free(struct config_messages *messages)
{
	for (size_t i = 0; i < messages->count; i++)
		free(messages->list[i]);
	free(messages->list);
	*messages = (struct config_messages){0};
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* How many letters to add, drop, change or swap with their neighbour to make one out of the other. */
static size_t distance(struct span a, struct span b)
{
	size_t rows[3][GUESS_LENGTH + 1];
	for (size_t k = 0; k <= b.length; k++)
		rows[0][k] = k;
	for (size_t i = 1; i <= a.length; i++) {
		size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t k = 1; k <= b.length; k++) {
			bool same = span_lower(a.data[i - 1]) == span_lower(b.data[k - 1]);
			row[k] = least(least(row[k - 1], above[k]) + 1, above[k - 1] + !same);
			if (i > 1 && k > 1 && a.data[i - 1] == b.data[k - 2] && a.data[i - 2] == b.data[k - 1])
				row[k] = least(row[k], second[k - 2] + 1);
		}
	}
	return rows[a.length % 3][b.length];
}

struct guess {
	struct span text;
	const char *best;
	size_t best_distance;
};

static void consider(struct reading *reading, struct guess *guess, const char *candidate)
{
	struct span name = span_of(candidate);
	size_t work = (guess->text.length + 1) * (name.length + 1);
	if (name.length > GUESS_LENGTH || guess->text.length > GUESS_LENGTH || work > reading->guesses)
		return;
	reading->guesses -= work;
	size_t steps = distance(guess->text, name);
	size_t longer = name.length > guess->text.length ? name.length : guess->text.length;
	if (steps <= (longer + 2) / 3 && steps < longer && (!guess->best || steps < guess->best_distance)) {
		guess->best = candidate;
		guess->best_distance = steps;
	}
}

static const char *hint_of(struct reading *reading, const struct guess *guess)
{
	return guess->best ? arena_format(reading->nodes, "; did you mean \"%s\"?", guess->best) : "";
}

const char *config_guess_key(struct reading *reading, struct span text, const struct config_keys *keys)
{
	struct guess guess = {.text = text};
	for (size_t i = 0; i < keys->count; i++)
		consider(reading, &guess, keys->list[i].name);
	return hint_of(reading, &guess);
}

const char *config_guess_word(struct reading *reading, struct span text, const char *const *words)
{
	struct guess guess = {.text = text};
	for (; *words; words++)
		consider(reading, &guess, *words);
	return hint_of(reading, &guess);
}

const char *config_guess_name(struct reading *reading, struct span text, const void *first, size_t count, size_t size)
{
	struct guess guess = {.text = text};
	for (size_t i = 0; i < count; i++)
		consider(reading, &guess, *(char *const *)((const char *)first + i * size));
	return hint_of(reading, &guess);
}
