/* What everything else stands on: spans, UTF-8, buffers, the arena, the table, faults and whole files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "arena.h"
#include "buffer.h"
#include "fault.h"
#include "file.h"
#include "memory.h"
#include "table.h"
#include "utf8.h"

static void expect(struct span came, const char *sent, const char *should)
{
	if (!span_equal(came, span_of(should)))
		fail_msg("`%s`: came `%.*s`, should be `%s`", sent, SPAN_ARGS(came), should);
}

static void test_span_split(void **state)
{
	(void)state;
	static const char *const parts[] = {"a", "", "b", ""};
	size_t count = 0;
	for (struct span rest = SPAN("a,,b,"); rest.data; count++) {
		struct span part = span_split(&rest, ',');
		assert_true(count < 4);
		expect(part, "a,,b,", parts[count]);
	}
	assert_int_equal(count, 4);
	struct span empty = {"", 0};
	expect(span_split(&empty, ','), "", "");
	assert_null(empty.data);
}

static void test_span(void **state)
{
	(void)state;
	expect(span_trim(SPAN(" \t a b\t ")), " a b ", "a b");
	expect(span_trim(SPAN(" \t ")), " ", "");
	expect(span_trim(SPAN("\na")), "\\na", "\na");
	expect(span_from(SPAN("abc"), 2), "abc", "c");
	expect(span_from(SPAN("abc"), 9), "abc", "");
	expect(span_head(SPAN("abc"), 2), "abc", "ab");
	expect(span_head(SPAN("abc"), 9), "abc", "abc");
	assert_true(span_starts(SPAN("abc"), SPAN("ab")) && !span_starts(SPAN("ab"), SPAN("abc")));
	assert_true(span_ends(SPAN("abc"), SPAN("bc")) && !span_ends(SPAN("bc"), SPAN("abc")));
	assert_true(span_equal_nocase(SPAN("A-z\xc3\x84"), SPAN("a-Z\xc3\x84")));
	assert_false(span_equal_nocase(SPAN("\xc3\x84"), SPAN("\xc3\xa4")));
	assert_false(span_equal_nocase(SPAN("@"), SPAN("`")));
	assert_true(span_equal((struct span){NULL, 0}, SPAN("")));
	assert_int_equal(span_of(NULL).length, 0);
}

struct utf8_row {
	struct span bytes;
	size_t length;
};

#define UTF8(bytes, length) {{bytes, sizeof bytes - 1}, length}

static const struct utf8_row utf8_rows[] = {
	UTF8("a", 1),
	UTF8("\0", 1),
	UTF8("\x7f", 1),
	UTF8("\xc2\x80", 2),
	UTF8("\xdf\xbf", 2),
	UTF8("\xe0\xa0\x80", 3),
	UTF8("\xed\x9f\xbf", 3),
	UTF8("\xef\xbf\xbf", 3),
	UTF8("\xf0\x90\x80\x80", 4),
	UTF8("\xf4\x8f\xbf\xbf", 4),
	UTF8("\x80", 0),
	UTF8("\xc0\x80", 0),
	UTF8("\xc1\xbf", 0),
	UTF8("\xc2", 0),
	UTF8("\xc2\xc2", 0),
	UTF8("\xe0\x9f\xbf", 0),
	UTF8("\xed\xa0\x80", 0),
	UTF8("\xe2\x82", 0),
	UTF8("\xf0\x8f\xbf\xbf", 0),
	UTF8("\xf4\x90\x80\x80", 0),
	UTF8("\xf5\x80\x80\x80", 0),
	UTF8("\xff", 0),
};

static void test_utf8(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof utf8_rows / sizeof *utf8_rows; i++)
		if (utf8_length(utf8_rows[i].bytes) != utf8_rows[i].length)
			fail_msg("row %zu: came %zu, should be %zu", i, utf8_length(utf8_rows[i].bytes), utf8_rows[i].length);
}

static void test_buffer(void **state)
{
	(void)state;
	struct buffer buffer = {0};
	assert_int_equal(buffer_view(&buffer).length, 0);
	assert_non_null(buffer_view(&buffer).data);
	buffer_append(&buffer, NULL, 0);
	assert_string_equal(buffer.data, "");
	buffer_string(&buffer, "ab");
	buffer_char(&buffer, 'c');
	buffer_span(&buffer, SPAN("de"));
	buffer_format(&buffer, "%d-%s", 42, "x");
	assert_string_equal(buffer.data, "abcde42-x");
	assert_int_equal(buffer.length, 9);
	memcpy(buffer_room(&buffer, 1000), "yz", 3);
	buffer.length += 2;
	assert_string_equal(buffer.data, "abcde42-xyz");
	size_t capacity = buffer.capacity;
	buffer_clear(&buffer);
	buffer_string(&buffer, "q");
	assert_string_equal(buffer.data, "q");
	assert_int_equal(buffer.capacity, capacity);
	buffer_wipe(&buffer);
	assert_true(!buffer.data && !buffer.length && !buffer.capacity);
	buffer_free(&buffer);
}

/* At each length the NUL behind the text has its room. */
static void test_buffer_grows(void **state)
{
	(void)state;
	struct buffer buffer = {0}, formatted = {0};
	for (size_t i = 0; i < 1000; i++) {
		buffer_char(&buffer, (char)('a' + i % 26));
		buffer_format(&formatted, "%c", (char)('a' + i % 26));
		assert_int_equal(strlen(buffer.data), i + 1);
		assert_string_equal(buffer.data, formatted.data);
	}
	buffer_free(&buffer);
	buffer_free(&formatted);
}

struct json_row {
	struct span text;
	const char *json;
};

#define JSON(text, json) {{text, sizeof text - 1}, json}

static const struct json_row json_rows[] = {
	JSON("", ""),
	JSON("plain /text", "plain /text"),
	JSON("\"\\", "\\\"\\\\"),
	JSON("\b\t\n\f\r", "\\b\\t\\n\\f\\r"),
	JSON("\0\x01\x1b\x7f", "\\u0000\\u0001\\u001b\\u007f"),
	JSON("\xc3\xbc\xe2\x82\xac\xf0\x9f\x94\x91", "\xc3\xbc\xe2\x82\xac\xf0\x9f\x94\x91"),
	JSON("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0", "\\u0080\\u009b\\u009f\xc2\xa0"),
	JSON("a\xff\xc3", "a\\ufffd\\ufffd"),
	JSON("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"),
	JSON("\xc3\"", "\\ufffd\\\""),
};

static void test_json(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof json_rows / sizeof *json_rows; i++) {
		AUTO_BUFFER struct buffer buffer = {0};
		buffer_json(&buffer, json_rows[i].text);
		if (!span_equal(buffer_view(&buffer), span_of(json_rows[i].json)))
			fail_msg("row %zu: came `%s`, should be `%s`", i, buffer.data, json_rows[i].json);
	}
}

static void test_arena(void **state)
{
	(void)state;
	struct arena arena = {0};
	for (unsigned round = 0; round < 3; round++) {
		char *pieces[300];
		for (size_t i = 0; i < 300; i++) {
			pieces[i] = arena_alloc(&arena, i);
			assert_int_equal((uintptr_t)pieces[i] % 16, 0);
			memset(pieces[i], (int)i, i);
		}
		for (size_t i = 0; i < 300; i++)
			for (size_t k = 0; k < i; k++)
				assert_int_equal((unsigned char)pieces[i][k], i % 256);
		char *zero = arena_zero(&arena, 100000);
		for (size_t i = 0; i < 100000; i++)
			assert_int_equal(zero[i], 0);
		assert_string_equal(arena_copy(&arena, "abc", 2), "ab");
		assert_string_equal(arena_span(&arena, SPAN("xyz")).data, "xyz");
		assert_string_equal(arena_format(&arena, "%s-%d", "n", 7), "n-7");
		assert_true(arena.total >= 100000 + 300 * 299 / 2);
		if (round == 0)
			arena_wipe(&arena);
		else
			arena_reset(&arena);
		assert_int_equal(arena.total, 0);
	}
	arena_free(&arena);
	arena_reset(&arena);
	arena_free(&arena);
}

/* A reset keeps the first block, so a second round of the same size stands where the first one stood. */
static void test_arena_reuse(void **state)
{
	(void)state;
	struct arena arena = {0};
	void *first = arena_alloc(&arena, 100);
	arena_alloc(&arena, 50000);
	arena_reset(&arena);
	assert_ptr_equal(arena_alloc(&arena, 100), first);
	memcpy(first, "secret", 6);
	arena_wipe(&arena);
	assert_memory_equal(arena_alloc(&arena, 100), "\0\0\0\0\0\0", 6);
	arena_free(&arena);
}

/* Whatever room is left, the text is whole, and of a try that did not fit nothing stays where no wipe would find it. */
static void test_format_room(void **state)
{
	(void)state;
	static char text[3000];
	memset(text, 's', sizeof text - 1);
	for (size_t length = 0; length < sizeof text; length += 13) {
		struct arena arena = {0};
		struct buffer buffer = {0};
		assert_string_equal(arena_format(&arena, "%s|", text + length), arena_format(&arena, "%s|", text + length));
		for (unsigned i = 0; i < 3; i++)
			buffer_format(&buffer, "%s|", text + length);
		assert_int_equal(strlen(buffer.data), buffer.length);
		assert_int_equal(buffer.length, 3 * (sizeof text - length));
		arena_free(&arena);
		buffer_free(&buffer);
	}
	struct arena arena = {0};
	arena_alloc(&arena, 1);
	size_t size = arena.size;
	arena_reset(&arena);
	char *block = memset(arena_alloc(&arena, size), 0, size);
	arena_reset(&arena);
	arena_alloc(&arena, size - 64);
	arena_format(&arena, "%s", text);
	assert_null(memchr(block, 's', size));
	arena_free(&arena);
}

#define KEYS 5000

static void test_table(void **state)
{
	(void)state;
	static char keys[KEYS][12];
	static int values[KEYS], other;
	struct table table = {0};
	assert_null(table_get(&table, SPAN("absent")));
	for (size_t i = 0; i < KEYS; i++) {
		snprintf(keys[i], sizeof keys[i], "key%zu", i);
		assert_null(table_put(&table, span_of(keys[i]), &values[i]));
	}
	assert_int_equal(table.count, KEYS);
	for (size_t i = 0; i < KEYS; i++)
		assert_ptr_equal(table_get(&table, span_of(keys[i])), &values[i]);
	assert_ptr_equal(table_put(&table, SPAN("key7"), &other), &values[7]);
	assert_ptr_equal(table_get(&table, SPAN("key7")), &other);
	assert_int_equal(table.count, KEYS);
	assert_null(table_get(&table, SPAN("key")));
	assert_null(table_get(&table, SPAN("key5000")));
	assert_null(table_put(&table, SPAN(""), &other));
	assert_ptr_equal(table_get(&table, SPAN("")), &other);
	table_free(&table);
	assert_null(table_get(&table, SPAN("key7")));
}

/* In a table that stays nearly full, each look-up walks over what others left. */
static void test_table_remove(void **state)
{
	(void)state;
	static char keys[KEYS][12];
	static int values[KEYS];
	struct table table = {0};
	size_t most = 12; /* of 16 slots */
	for (size_t i = 0; i < KEYS; i++) {
		snprintf(keys[i], sizeof keys[i], "key%zu", i);
		if (i >= most)
			assert_ptr_equal(table_remove(&table, span_of(keys[i - most])), &values[i - most]);
		assert_null(table_put(&table, span_of(keys[i]), &values[i]));
		for (size_t k = i >= most ? i - most : 0; k <= i; k++)
			assert_ptr_equal(table_get(&table, span_of(keys[k])), k + most > i ? &values[k] : NULL);
	}
	assert_null(table_remove(&table, SPAN("absent")));
	assert_int_equal(table.count, most);
	for (size_t k = KEYS - most; k < KEYS; k++)
		assert_ptr_equal(table_remove(&table, span_of(keys[k])), &values[k]);
	assert_int_equal(table.count, 0);
	assert_null(table_remove(&table, span_of(keys[0])));
	table_free(&table);
}

static void test_fault(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	assert_false(fault_set(&fault, FAULT_BROKEN, "line %d", 3));
	assert_int_equal(fault.code, FAULT_BROKEN);
	assert_false(fault_wrap(&fault, "file %s", "x"));
	assert_string_equal(fault.text, "file x: line 3");
	assert_int_equal(fault.code, FAULT_BROKEN);
	assert_false(fault_set(NULL, FAULT_IO, "x") || fault_wrap(NULL, "x") || fault_errno(NULL, "x"));
	static const struct {
		int error;
		enum fault_code code;
	} rows[] = {{ENOENT, FAULT_MISSING}, {EACCES, FAULT_DENIED}, {EPERM, FAULT_DENIED}, {EAGAIN, FAULT_BUSY},
	            {EADDRINUSE, FAULT_BUSY}, {ETIMEDOUT, FAULT_TIMEOUT}, {EIO, FAULT_IO}, {ENOSPC, FAULT_IO}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		errno = rows[i].error;
		fault_errno(&fault, "open %s", "y");
		if (fault.code != rows[i].code || strncmp(fault.text, "open y: ", 8) != 0 || strlen(fault.text) < 10)
			fail_msg("errno %d: came code %d `%s`", rows[i].error, fault.code, fault.text);
	}
}

/* Long texts are cut, and never run over. */
static void test_fault_limits(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	static char text[2000];
	memset(text, 'x', sizeof text - 1);
	fault_set(&fault, FAULT_IO, "%s", text);
	assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
	fault_wrap(&fault, "front");
	assert_memory_equal(fault.text, "front: xxx", 10);
	assert_int_equal(strlen(fault.text), sizeof fault.text - 1);
	for (int length = 985; length < 1005; length++) {
		fault_set(&fault, FAULT_IO, "end");
		fault_wrap(&fault, "%.*s", length, text);
		assert_true(strlen(fault.text) < sizeof fault.text);
	}
	errno = EIO;
	fault_errno(&fault, "%.995s", text);
	assert_true(strlen(fault.text) < sizeof fault.text);
}

struct folder {
	char path[64];
};

static int make_folder(void **state)
{
	struct folder *folder = memory_alloc(sizeof *folder);
	strcpy(folder->path, "/tmp/keystile-unit-XXXXXX");
	*state = folder;
	return mkdtemp(folder->path) ? 0 : -1;
}

static int remove_folder(void **state)
{
	struct folder *folder = *state;
	AUTO_FREE char *command = memory_format("rm -rf %s", folder->path);
	int result = system(command);
	free(folder);
	return result;
}

static void test_file(void **state)
{
	const struct folder *folder = *state;
	AUTO_FREE char *path = memory_format("%s/a/b/file", folder->path);
	AUTO_BUFFER struct buffer content = {0};
	struct fault fault = FAULT_INIT;
	struct stat status;
	assert_false(file_read(path, 100, &content, &fault));
	assert_int_equal(fault.code, FAULT_MISSING);
	assert_non_null(strstr(fault.text, path));
	assert_false(file_replace(path, SPAN("x"), 0600, &fault));
	assert_true(file_make_folder(path, &fault));
	assert_true(file_make_folder(path, &fault));
	assert_true(file_replace(path, SPAN("one\0two"), 0600, &fault));
	assert_true(file_read(path, 7, &content, &fault));
	assert_true(span_equal(buffer_view(&content), SPAN("one\0two")));
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_true(file_replace(path, SPAN(""), 0640, &fault));
	buffer_clear(&content);
	assert_true(file_read(path, 0, &content, &fault));
	assert_int_equal(content.length, 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640);
}

static void test_file_refused(void **state)
{
	const struct folder *folder = *state;
	AUTO_FREE char *path = memory_format("%s/long", folder->path);
	AUTO_FREE char *fifo = memory_format("%s/fifo", folder->path);
	AUTO_BUFFER struct buffer content = {0}, large = {0};
	struct fault fault = FAULT_INIT;
	memset(buffer_room(&large, 20000), 'x', 20000);
	large.length = 20000;
	assert_true(file_replace(path, buffer_view(&large), 0600, &fault));
	assert_false(file_read(path, 19999, &content, &fault));
	assert_int_equal(fault.code, FAULT_BROKEN);
	buffer_clear(&content);
	assert_true(file_read(path, 20000, &content, &fault));
	assert_true(span_equal(buffer_view(&content), buffer_view(&large)));
	assert_false(file_read(folder->path, 100, &content, &fault));
	assert_int_equal(fault.code, FAULT_BROKEN);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_false(file_read(fifo, 100, &content, &fault)); /* and does not wait for a writer */
	assert_int_equal(fault.code, FAULT_BROKEN);
}

static void test_file_names(void **state)
{
	(void)state;
	static const char *const rows[][3] = {/* folder, path, resolved */
	                                      {"/etc", "a/b", "/etc/a/b"}, {"/etc", "/a", "/a"}, {".", "a", "./a"}};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		AUTO_FREE char *resolved = file_resolve(rows[i][0], rows[i][1]);
		expect(span_of(resolved), rows[i][1], rows[i][2]);
	}
	static const char *const folders[][2] = {{"/a/b", "/a"}, {"/a", "/"}, {"a", "."}, {"a/b", "a"}, {"/", "/"}};
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		AUTO_FREE char *folder = file_folder(folders[i][0]);
		expect(span_of(folder), folders[i][0], folders[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_span_split),
		cmocka_unit_test(test_span),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_buffer),
		cmocka_unit_test(test_buffer_grows),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_arena),
		cmocka_unit_test(test_arena_reuse),
		cmocka_unit_test(test_format_room),
		cmocka_unit_test(test_table), cmocka_unit_test(test_table_remove),
		cmocka_unit_test(test_fault),
		cmocka_unit_test(test_fault_limits),
		cmocka_unit_test_setup_teardown(test_file, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_file_refused, make_folder, remove_folder),
		cmocka_unit_test(test_file_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
