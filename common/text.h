/* How programs write times, tables and JSON. */
#ifndef KEYSTILE_TEXT_H
#define KEYSTILE_TEXT_H

#include <stdint.h>

#include "buffer.h"
#include "fault.h"

#define TEXT_TIME 32

/* RFC 3339, UTC: "2026-11-25T03:57:27Z". */
void text_time(uint64_t seconds, char out[TEXT_TIME]);

/* The other way round, from "Z" or "+00:00", a fraction left aside. False where it is no such time, or before 1970. */
bool text_parse_time(struct span text, uint64_t *seconds);

/* How long from `from` to `to`, in the one unit that says it: "3 days", "1 minute". */
void text_span_of_time(uint64_t from, uint64_t to, char out[TEXT_TIME]);

/* A time to come: "90d" (or h, m, s) from `now`, "2027-01-31" (its start, UTC) or "never" (0). */
bool text_parse_expiry(struct span text, uint64_t now, uint64_t *seconds, struct fault *fault);

/* A table: cells are added from left to right, `columns` to a row; the first row is the heading. */
struct text_table {
	size_t columns, count;
	struct buffer *cells; /* malloc'ed */
	size_t capacity;
};
struct buffer *text_cell(struct text_table *table); /* the next cell, empty */
void text_table_write(const struct text_table *table, struct buffer *out);
void text_table_free(struct text_table *table);

/* JSON: `"name":"text"` and friends. A comma goes in front unless `out` ends in "{" or "[". */
void json_key(struct buffer *out, const char *name);
void json_text(struct buffer *out, const char *name, struct span text);
void json_time(struct buffer *out, const char *name, uint64_t seconds); /* 0: null */
void json_number(struct buffer *out, const char *name, uint64_t number);
void json_bool(struct buffer *out, const char *name, bool value);
void json_open(struct buffer *out, const char *name, char bracket); /* `name` NULL: an element of a list */
void json_element(struct buffer *out, struct span text);

/* Writes to standard output; false with a fault where that fails (a full disk, a closed pipe). */
bool text_print(struct span text, struct fault *fault);

/* Are both absent, or the same? */
bool text_same(const char *a, const char *b);

#endif
