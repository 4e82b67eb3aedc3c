/* What is planned to be hidden: folders as a whole, files alone where the folder is needed, and what nothing can hide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "cover.h"
#include "memory.h"

static char *top;

/* k/ with two keys, work/ with one, deep/er/ with one; links to each other's */
static int start(void **state)
{
	(void)state;
	char template[] = "/tmp/keystile-cover-XXXXXX";
	static const char *const folders[] = {"k", "k/state", "work", "work/sub", "deep", "deep/er", "links"};
	static const char *const files[] = {"k/a", "k/b", "work/a", "deep/er/a"};
	if (!mkdtemp(template) || !(top = realpath(template, NULL)) || chdir(top) != 0)
		return -1;
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
		if (mkdir(folders[i], 0700) != 0)
			return -1;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		FILE *file = fopen(files[i], "w");
		if (!file || fclose(file) != 0)
			return -1;
	}
	return symlink("../deep/er/a", "links/a") || symlink("a", "k/to-a") || symlink("nowhere", "links/dead");
}

static int drop(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
	(void)status;
	(void)kind;
	(void)walk;
	return remove(path);
}

static int end(void **state)
{
	(void)state;
	int result = chdir("/") || nftw(top, drop, 8, FTW_DEPTH | FTW_PHYS);
	free(top);
	return result;
}

/* Paths are below `top`; those that end in "/" are folders. CMD needs `needed`. */
static const struct row {
	const char *guarded, *needed;
	const char *covers;         /* in order; folders end in "/" */
	unsigned alone, uncovered;  /* lines about these */
} rows[] = {
	{"k/a", "work", "k/", 0, 0},
	{"k/a k/b", "work", "k/", 0, 0},
	{"k/a work/a", "work/sub", "k/ work/a", 1, 0},
	{"work/a", "work", "work/a", 1, 0},
	{"work/a", "work/sub", "work/a", 1, 0},
	{"work/a", "k", "work/", 0, 0},
	{"work/a", "wor", "work/", 0, 0},
	{"work/a", "work2", "work/", 0, 0},
	{"k/later", "work", "k/", 0, 0},                   /* not there yet, in a folder that can be hidden */
	{"work/later", "work", "", 0, 1},                  /* and in one that cannot */
	{"deep/not/yet/a", "work", "deep/", 0, 0},         /* the nearest folder that is there */
	{"deep/not/yet/a", "deep/er", "", 0, 1},
	{"nowhere/a", "work", "", 0, 1},                   /* which is the top, where work is */
	{"k/state/", "work", "k/state/", 0, 0},
	{"k/state/ k/a", "work", "k/", 0, 0},
	{"k/a k/state/", "work", "k/", 0, 0},
	{"work/sub/", "work/sub", "", 0, 1},
	{"nowhere/", "work", "", 0, 0},
	{"links/a", "work", "links/ deep/er/", 0, 0},      /* a link's folder and its target's */
	{"links/a", "deep", "links/ deep/er/", 0, 0},
	{"links/a", "deep/er", "links/ deep/er/a", 1, 0},
	{"links/dead", "work", "links/", 0, 0},
	{"k/to-a", "k", "k/a", 1, 0},
	{"k/a/b", "work", "k/", 0, 0},                     /* below a file: it may become a folder */
};

static void add(struct guarded *guarded, const char *name)
{
	size_t length = strlen(name);
	bool folder = name[length - 1] == '/';
	guarded->list = memory_grow(guarded->list, guarded->count, &guarded->capacity, sizeof *guarded->list);
	guarded->list[guarded->count++] = (struct guarded_path){
		memory_format("%s/%.*s", top, (int)(folder ? length - 1 : length), name), memory_string("it"), folder, R_OK};
}

static void plan(const struct row *row, struct cover_plan *plan)
{
	struct guarded guarded = {0};
	AUTO_FREE char *needed = memory_format("%s/%s", top, row->needed), *words = memory_string(row->guarded);
	const struct string_list list = {&needed, 1};
	for (char *save = NULL, *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
		add(&guarded, word);
	cover_plan(&guarded, &list, plan);
	guarded_free(&guarded);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct cover_plan made = {0};
		AUTO_BUFFER struct buffer came = {0};
		plan(&rows[i], &made);
		buffer_string(&came, "");
		for (size_t j = 0; j < made.count; j++)
			buffer_format(&came, "%s%s%s", j ? " " : "", made.list[j].path + strlen(top) + 1,
			              made.list[j].folder ? "/" : "");
		if (strcmp(came.data, rows[i].covers) != 0 || made.until_replaced_count != rows[i].alone ||
		    made.uncovered_count != rows[i].uncovered)
			fail_msg("%s, needed %s: came `%s`, %zu, %zu", rows[i].guarded, rows[i].needed, came.data,
			         made.until_replaced_count, made.uncovered_count);
		cover_plan_free(&made);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
	return cmocka_run_group_tests_name("cover", tests, start, end);
}
