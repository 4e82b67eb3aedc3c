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
	{"links/a", "work", "links/ deep/er/", 1, 0},      /* a link's folder and its target's */
	{"links/a", "deep", "links/ deep/er/", 1, 0},
	{"links/a", "deep/er", "links/ deep/er/a", 2, 0},
	{"links/dead", "work", "links/", 0, 0},
	{"k/to-a", "k", "k/a", 1, 0},
	{"k/a/b", "work", "k/", 0, 0},                     /* below a file: it may become a folder */
};

/* What is held where it is; read only, where it is no folder. */
static const struct {
	const char *guarded, *needed, *kept, *held;
} held_rows[] = {
	{"k/a", "work", NULL, ""},
	{"deep/er/a", "work", NULL, "deep/"},
	{"k/a k/state/", "work", "k/b", ""},              /* kept in what is hidden: it is not seen */
	{"k/a", "work", "work/a", "work/ work/a"},
	{"k/a deep/er/a", "work", "deep/b", "deep/"},     /* not there */
	{"k/a deep/er/a", "work", "work/a", "deep/ work/ work/a"},
	{"deep/er/a", "deep/er", "deep/er/a", "deep/ deep/er/"},
};

static void add(struct guarded *guarded, const char *name)
{
	size_t length = strlen(name);
	bool folder = name[length - 1] == '/';
	guarded->list = memory_grow(guarded->list, guarded->count, &guarded->capacity, sizeof *guarded->list);
	guarded->list[guarded->count++] = (struct guarded_path){
		memory_format("%s/%.*s", top, (int)(folder ? length - 1 : length), name), memory_string("it"), folder, R_OK};
}

static void plan(const char *guarded_names, const char *needed_name, const char *kept_name, struct cover_plan *plan)
{
	struct guarded guarded = {0};
	AUTO_FREE char *needed = memory_format("%s/%s", top, needed_name), *words = memory_string(guarded_names);
	AUTO_FREE char *kept = kept_name ? memory_format("%s/%s", top, kept_name) : NULL;
	const struct string_list list = {&needed, 1};
	for (char *save = NULL, *word = strtok_r(words, " ", &save); word; word = strtok_r(NULL, " ", &save))
		add(&guarded, word);
	cover_plan(&guarded, &list, kept, plan);
	guarded_free(&guarded);
}

/* Those below top: whether what is above is held hangs on who runs this. */
static void write_covers(const struct cover *list, size_t count, struct buffer *out)
{
	size_t length = strlen(top);
	buffer_string(out, "");
	for (size_t i = 0; i < count; i++)
		if (strncmp(list[i].path, top, length) == 0 && list[i].path[length] == '/')
			buffer_format(out, "%s%s%s", out->length ? " " : "", list[i].path + length + 1, list[i].folder ? "/" : "");
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct cover_plan made = {0};
		AUTO_BUFFER struct buffer came = {0};
		plan(rows[i].guarded, rows[i].needed, NULL, &made);
		write_covers(made.list, made.count, &came);
		if (strcmp(came.data, rows[i].covers) != 0 || made.until_replaced_count != rows[i].alone ||
		    made.uncovered_count != rows[i].uncovered)
			fail_msg("%s, needed %s: came `%s`, %zu, %zu", rows[i].guarded, rows[i].needed, came.data,
			         made.until_replaced_count, made.uncovered_count);
		cover_plan_free(&made);
	}
}

static void test_held(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof held_rows / sizeof *held_rows; i++) {
		struct cover_plan made = {0};
		AUTO_BUFFER struct buffer held = {0};
		plan(held_rows[i].guarded, held_rows[i].needed, held_rows[i].kept, &made);
		write_covers(made.held, made.held_count, &held);
		if (strcmp(held.data, held_rows[i].held) != 0)
			fail_msg("%s, kept %s: held `%s`", held_rows[i].guarded, held_rows[i].kept ? held_rows[i].kept : "nothing",
			         held.data);
		cover_plan_free(&made);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_held)};
	return cmocka_run_group_tests_name("cover", tests, start, end);
}
