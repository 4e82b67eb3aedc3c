/* Audit lines: their form to the byte, when they reach the file, and what happens when it takes none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audit.h"
#include "file.h"
#include "memory.h"

#define TIME_LENGTH (sizeof "{\"time\":\"2026-01-01T00:00:00.000Z\"" - 1)

static char folder[] = "/tmp/keystile-test-audit-XXXXXX";
static char *path;
static struct loop *loop;

static struct audit *open_audit(bool required)
{
	struct fault fault = FAULT_INIT;
	unlink(path);
	struct audit *audit = audit_open(path, required, &fault);
	if (!audit)
		fail_msg("%s", fault.text);
	return audit;
}

static struct span file_content(struct buffer *content)
{
	struct fault fault = FAULT_INIT;
	buffer_clear(content);
	if (!file_read(path, 16 << 20, content, &fault))
		fail_msg("%s", fault.text);
	return buffer_view(content);
}

static const struct audit_record whole = {
	.event = "end",
	.id = "0123456789abcdefghj",
	.profile = "coder",
	.client = "127.0.0.1:4711",
	.way = "reverse",
	.credential = "openai",
	.rule = "allow GET,POST /v1/**",
	.reason = "none",
	.method = SPAN("POST"),
	.host = SPAN("api.openai.com"),
	.path = SPAN("/v1/responses"),
	.port = 443,
	.verdict = AUDIT_ALLOW,
	.injected = true,
	.rotated = true,
	.scrubbed = 2,
	.status = 200,
	.bytes_up = 18446744073709551615u,
	.bytes_down = 10,
	.first_us = 1234,
	.total_us = 5000060,
};

/* Every byte but the time's, in the order of SPEC §12. */
struct row {
	const char *what;
	struct audit_record record;
	const char *line;
};

#define OUTCOME ",\"scrubbed\":0,\"rotated\":false,\"bytes_up\":0,\"bytes_down\":0,\"ms_first\":0.000,\"ms\":0.000}\n"

static const struct row rows[] = {
	{"all that there is", whole,
	 ",\"event\":\"end\",\"id\":\"0123456789abcdefghj\",\"profile\":\"coder\",\"client\":\"127.0.0.1:4711\","
	 "\"way\":\"reverse\",\"credential\":\"openai\",\"method\":\"POST\",\"host\":\"api.openai.com\",\"port\":443,"
	 "\"path\":\"/v1/responses\",\"verdict\":\"allow\",\"rule\":\"allow GET,POST /v1/**\",\"reason\":\"none\","
	 "\"injected\":true,\"scrubbed\":2,\"rotated\":true,\"status\":200,\"bytes_up\":18446744073709551615,"
	 "\"bytes_down\":10,\"ms_first\":1.234,\"ms\":5000.060}\n"},
	{"hardly anything", {.event = "end", .id = "1", .verdict = AUDIT_FAIL},
	 ",\"event\":\"end\",\"id\":\"1\",\"verdict\":\"fail\",\"injected\":false" OUTCOME},
	{"the start of one", {.event = "start", .id = "1", .verdict = AUDIT_ALLOW, .injected = true},
	 ",\"event\":\"start\",\"id\":\"1\",\"verdict\":\"allow\",\"injected\":true}\n"},
	{"what JSON escapes", {.event = "end", .id = "1", .path = SPAN("/\"\\\x01\n\x7f\xc3\xa4\xff\xe2\x82")},
	 ",\"event\":\"end\",\"id\":\"1\",\"path\":\"/\\\"\\\\\\u0001\\u000a\\u007f\xc3\xa4\\ufffd\\ufffd\\ufffd\","
	 "\"verdict\":\"allow\",\"injected\":false" OUTCOME},
	{"an empty span", {.event = "end", .id = "1", .method = SPAN("")},
	 ",\"event\":\"end\",\"id\":\"1\",\"method\":\"\",\"verdict\":\"allow\",\"injected\":false" OUTCOME},
};

static void test_lines(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer content = {0};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct audit *audit = open_audit(false);
		struct audit_writer *writer = audit_writer_new(audit, loop);
		assert_true(audit_write(writer, &rows[i].record) && audit_flush(writer));
		struct span line = span_from(file_content(&content), TIME_LENGTH);
		if (!span_equal(line, span_of(rows[i].line)))
			fail_msg("%s: came\n%.*sshould be\n%s", rows[i].what, SPAN_ARGS(line), rows[i].line);
		audit_writer_free(writer);
		audit_close(audit);
	}
}

/* time() may be a tick late, and so a second. */
static time_t second_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

static void test_time(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer content = {0};
	struct audit *audit = open_audit(false);
	struct audit_writer *writer = audit_writer_new(audit, loop);
	time_t before = second_now();
	assert_true(audit_write(writer, &whole) && audit_flush(writer));
	time_t after = second_now();
	struct tm date = {0};
	const char *rest = strptime(file_content(&content).data, "{\"time\":\"%Y-%m-%dT%H:%M:%S.", &date);
	if (!rest || rest[3] != 'Z' || timegm(&date) < before || timegm(&date) > after)
		fail_msg("the time of `%.60s` should be UTC, between %ld and %ld", content.data, (long)before, (long)after);
	audit_writer_free(writer);
	audit_close(audit);
}

/* Long fields are cut where a character ends, and the longest line fits. */
static void test_long_fields(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer content = {0}, expected = {0}, path_text = {0};
	char controls[5000];
	memset(controls, 1, sizeof controls - 1);
	controls[sizeof controls - 1] = 0;
	for (int i = 0; i < 1500; i++)
		buffer_string(&path_text, "\xe2\x82\xac");
	struct audit_record record = whole;
	record.event = record.profile = record.client = record.way = record.credential = controls;
	record.rule = record.reason = controls;
	record.method = record.host = span_of(controls);
	record.path = buffer_view(&path_text);
	struct audit *audit = open_audit(false);
	struct audit_writer *writer = audit_writer_new(audit, loop);
	for (int i = 0; i < 3; i++) {
		audit_write(writer, &whole);
		assert_true(audit_write(writer, &record));
	}
	assert_true(audit_flush(writer));
	buffer_string(&expected, "\"path\":\"");
	for (int i = 0; i < 2048 / 3; i++)
		buffer_string(&expected, "\xe2\x82\xac");
	buffer_string(&expected, "\",\"verdict\"");
	struct span text = file_content(&content);
	if (!memmem(text.data, text.length, expected.data, expected.length))
		fail_msg("the path should be cut to 682 characters");
	audit_writer_free(writer);
	audit_close(audit);
}

static struct audit_writer *busy;
static size_t busy_count;

static void write_again(struct loop_timer *timer)
{
	AUTO_BUFFER struct buffer content = {0};
	if (file_content(&content).length > 0) {
		loop_stop(loop);
		return;
	}
	audit_write(busy, &whole);
	busy_count++;
	loop_timer_set(loop, timer, 1);
}

/* Lines wait a little for others, unless they are many, or must be on file. */
static const struct audit_record start = {.event = "start", .id = "1"};

static void test_when_written(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer content = {0};
	struct audit *audit = open_audit(false);
	struct audit_writer *writer = audit_writer_new(audit, loop);
	audit_write(writer, &whole);
	assert_int_equal(file_content(&content).length, 0);
	/* They do not wait until no more come. */
	struct loop_timer again = {.fire = write_again};
	busy = writer;
	loop_timer_set(loop, &again, 1);
	loop_run(loop);
	assert_in_range(busy_count, 1, 20);
	size_t one = file_content(&content).length;
	for (size_t i = 0; i < 32 * 1024 / 100; i++)
		audit_write(writer, &whole);
	assert_true(file_content(&content).length > one);
	audit_writer_free(writer);
	audit_close(audit);

	struct problem problem = {0};
	audit = open_audit(true);
	writer = audit_writer_new(audit, loop);
	assert_true(audit_start(writer, &start, &problem));
	assert_true(file_content(&content).length > 0);
	audit_writer_free(writer);
	audit_close(audit);
}

/* The file may not grow any more: as on a full disk, a part of a line gets in. */
static void set_size_limit(rlim_t size)
{
	struct rlimit limit = {size, RLIM_INFINITY};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer content = {0};
	signal(SIGXFSZ, SIG_IGN);
	for (int required = 0; required <= 1; required++) {
		struct audit *audit = open_audit(required);
		struct audit_writer *writer = audit_writer_new(audit, loop);
		set_size_limit(100);
		for (int i = 0; i < 3; i++) {
			bool written = audit_write(writer, &whole) && audit_flush(writer);
			if (written != !required)
				fail_msg("required %d: came %d for a line that was not written", required, written);
			struct problem problem = {0};
			bool started = audit_start(writer, &start, &problem) && audit_flush(writer);
			if (started != !required || problem.status != (required ? 503 : 0))
				fail_msg("required %d: came %d, %u for a start that was not written", required, started, problem.status);
		}
		set_size_limit(RLIM_INFINITY);
		assert_true(audit_write(writer, &whole) && audit_flush(writer));
		audit_writer_free(writer);
		audit_close(audit);
		/* The torn line stands alone; the next one begins a line of its own and is whole. */
		struct span text = file_content(&content);
		if (text.length < 101 || text.data[100] != '\n' || !span_starts(span_from(text, 101), SPAN("{\"time\"")) ||
		    !span_ends(text, SPAN("}\n")))
			fail_msg("required %d: came `%.*s`", required, SPAN_ARGS(text));
	}
}

static void test_none(void **state)
{
	(void)state;
	for (int required = 0; required <= 1; required++) {
		struct audit *audit = audit_open(NULL, required, NULL);
		struct audit_writer *writer = audit_writer_new(audit, loop);
		assert_int_equal(audit_write(writer, &whole), !required);
		assert_true(audit_flush(writer));
		assert_true(audit_reopen(audit, NULL));
		audit_writer_free(writer);
		audit_close(audit);
	}
}

static void test_open(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	assert_null(audit_open("/proc/nonexistent/audit.log", false, &fault));
	if (fault.code != FAULT_MISSING || !strstr(fault.text, "audit file /proc/nonexistent/audit.log"))
		fail_msg("came %d `%s`", (int)fault.code, fault.text);
	umask(0);
	struct audit *audit = open_audit(false);
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0640);
	audit_close(audit);
}

static void test_reopen(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer content = {0};
	AUTO_FREE char *moved = memory_format("%s.1", path);
	struct audit *audit = open_audit(false);
	struct audit_writer *writer = audit_writer_new(audit, loop);
	assert_true(audit_write(writer, &whole) && audit_flush(writer));
	assert_int_equal(rename(path, moved), 0);
	assert_true(audit_reopen(audit, NULL));
	assert_int_equal(file_content(&content).length, 0);
	assert_true(audit_write(writer, &whole) && audit_flush(writer));
	assert_true(file_content(&content).length > 0);
	audit_writer_free(writer);
	audit_close(audit);
	unlink(moved);
}

/* A pipe without a reader is none, at once; with one it is like any file. */
static void test_pipe(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	char line[16];
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	alarm(10);
	assert_null(audit_open(path, false, &fault));
	if (!strstr(fault.text, path) || !strstr(fault.text, "a pipe that nobody reads"))
		fail_msg("came `%s`", fault.text);
	int reader = open(path, O_RDONLY | O_NONBLOCK);
	struct audit *audit = audit_open(path, false, &fault);
	struct audit_writer *writer = audit_writer_new(audit, loop);
	assert_true(audit_write(writer, &whole) && audit_flush(writer));
	assert_int_equal(read(reader, line, sizeof line), sizeof line);
	assert_memory_equal(line, "{\"time\"", 7);
	close(reader);
	assert_false(audit_reopen(audit, &fault));
	alarm(0);
	audit_writer_free(writer);
	audit_close(audit);
	unlink(path);
}

static void change(struct audit *audit, const char *to, bool required)
{
	struct audit_change change;
	assert_true(audit_prepare(audit, to, required, &change, NULL));
	audit_commit(audit, &change);
}

static void test_change(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer content = {0};
	AUTO_FREE char *other = memory_format("%s.other", path);
	struct audit *audit = open_audit(false);
	struct audit_writer *writer = audit_writer_new(audit, loop);
	struct audit_change given_up;
	struct fault fault = FAULT_INIT;
	assert_true(audit_prepare(audit, other, true, &given_up, &fault));
	audit_abandon(&given_up);
	assert_false(audit_prepare(audit, "/proc/nonexistent/audit.log", true, &given_up, &fault));
	assert_true(!audit_required(audit) && audit_write(writer, &whole) && audit_flush(writer));
	size_t length = file_content(&content).length;
	assert_true(length > 0);
	change(audit, path, true);
	assert_true(audit_required(audit) && audit_write(writer, &whole) && audit_flush(writer));
	assert_int_equal(file_content(&content).length, 2 * length);
	change(audit, other, false);
	assert_true(!audit_required(audit) && audit_write(writer, &whole) && audit_flush(writer));
	assert_int_equal(file_content(&content).length, 2 * length);
	change(audit, "/dev/full", false);
	assert_true(audit_write(writer, &whole) && audit_flush(writer) && audit_counts(audit).failing);
	change(audit, NULL, false);
	assert_true(audit_write(writer, &whole) && !audit_counts(audit).on && !audit_counts(audit).failing);
	audit_writer_free(writer);
	audit_close(audit);
	unlink(other);
}

static void *change_often(void *audit)
{
	for (unsigned i = 0; i < 20000; i++) {
		change(audit, path, true);
		change(audit, NULL, false);
	}
	return NULL;
}

/* In no moment is a file required that is not there. */
static void test_change_under_writers(void **state)
{
	(void)state;
	pthread_t thread;
	struct audit *audit = audit_open(NULL, false, NULL);
	struct audit_writer *writer = audit_writer_new(audit, loop);
	assert_int_equal(pthread_create(&thread, NULL, change_often, audit), 0);
	bool good = true;
	while (good && pthread_tryjoin_np(thread, NULL) != 0)
		good = audit_write(writer, &start);
	if (!good)
		pthread_join(thread, NULL);
	assert_true(good);
	audit_writer_free(writer);
	audit_close(audit);
}

static void test_ids(void **state)
{
	(void)state;
	struct audit *audit = audit_open(NULL, false, NULL);
	struct audit_writer *a = audit_writer_new(audit, loop), *b = audit_writer_new(audit, loop);
	char first[20], second[20], other[20];
	audit_id(a, first);
	audit_id(a, second);
	audit_id(b, other);
	assert_int_equal(strlen(first), 19);
	assert_string_not_equal(first, second);
	assert_memory_equal(first, second, 10);
	assert_memory_not_equal(first, other, 10);
	audit_writer_free(a);
	audit_writer_free(b);
	audit_close(audit);
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	path = memory_format("%s/audit.log", folder);
	loop = loop_new(NULL);
	return loop ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	loop_free(loop);
	unlink(path);
	free(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines), cmocka_unit_test(test_time),   cmocka_unit_test(test_long_fields),
		cmocka_unit_test(test_when_written), cmocka_unit_test(test_full), cmocka_unit_test(test_none),
		cmocka_unit_test(test_open),  cmocka_unit_test(test_reopen), cmocka_unit_test(test_ids),
		cmocka_unit_test(test_pipe),  cmocka_unit_test(test_change), cmocka_unit_test(test_change_under_writers),
	};
	return cmocka_run_group_tests_name("audit", tests, set_up, tear_down);
}
