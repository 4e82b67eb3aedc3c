/* YAML as a tree: what each value is and where it stands, what is refused, and that no text takes long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "buffer.h"
#include "document.h"

static void note(void *context, unsigned line, unsigned column, const char *text)
{
	struct buffer *told = context;
	buffer_format(told, "%s%u:%u: %s", told->length ? "\n" : "", line, column, text);
}

/* A tree in one line: text in quotes where it was quoted, each value with its place. */
static void write_node(struct buffer *out, const struct node *node)
{
	buffer_format(out, "%u:%u", node->line, node->column);
	if (node->kind == NODE_TEXT) {
		buffer_format(out, node->plain ? "=%s" : "='%s'", node->text);
		assert_int_equal(strlen(node->text), node->count);
		return;
	}
	buffer_char(out, node->kind == NODE_LIST ? '[' : '{');
	for (size_t i = 0; i < node->count; i++) {
		if (i)
			buffer_char(out, ' ');
		if (node->kind == NODE_MAPPING) {
			write_node(out, node->pairs[i].key);
			buffer_char(out, ' ');
		}
		write_node(out, node->kind == NODE_LIST ? node->items[i] : node->pairs[i].value);
	}
	buffer_char(out, node->kind == NODE_LIST ? ']' : '}');
}

struct row {
	const char *text, *tree, *told; /* NULL: no tree; nothing is told */
};

static const struct row rows[] = {
	{"a", "1:1=a", NULL},
	{"a: 1.20\nb: no\nc: ~\n", "1:1{1:1=a 1:4=1.20 2:1=b 2:4=no 3:1=c 3:4=~}", NULL},
	{"a: \"x: y\"\nb: 'it''s'\n", "1:1{1:1=a 1:4='x: y' 2:1=b 2:4='it's'}", NULL},
	{"a:\n  - x\n  - [y, {z: 1}]\n", "1:1{1:1=a 2:3[2:5=x 3:5[3:6=y 3:9{3:10=z 3:13=1}]]}", NULL},
	{"a:\nb: ''\n", "1:1{1:1=a 1:3= 2:1=b 2:4=''}", NULL},
	{"a: []\nb: {}\n", "1:1{1:1=a 1:4[] 2:1=b 2:4{}}", NULL},
	{"a: x # note\n# note\n\nb: y#z\n", "1:1{1:1=a 1:4=x 4:1=b 4:4=y#z}", NULL},
	{"a: |\n  one\n  two\n", "1:1{1:1=a 1:4='one\ntwo\n'}", NULL},
	/* Columns are characters, not bytes; a byte-order mark is none. */
	{"\xef\xbb\xbfö: ü\n", "1:1{1:1=ö 1:4=ü}", NULL},
	{"{ü: \"öä\", b: €}", "1:1{1:2=ü 1:5='öä' 1:11=b 1:14=€}", NULL},
	{"a: 1\r\nb: 2\r\n", "1:1{1:1=a 1:4=1 2:1=b 2:4=2}", NULL},
	{"--- # one document\na: 1\n...\n", "2:1{2:1=a 2:4=1}", NULL},
	/* An alias is the node that it names, with its place. */
	{"a: &x [1, 2]\nb: *x\n", "1:1{1:1=a 1:4[1:8=1 1:11=2] 2:1=b 1:4[1:8=1 1:11=2]}", NULL},
	{"a: &x 1\nb: &x 2\nc: *x\n", "1:1{1:1=a 1:4=1 2:1=b 2:4=2 3:1=c 2:4=2}", NULL},
	{"a: &k key\n*k : 2\n", "1:1{1:1=a 1:4=key 1:4=key 2:6=2}", NULL},
	{"a: *x\nb: 1\n", "1:1{1:1=a 1:4='*x' 2:1=b 2:4=1}",
	 "1:4: alias *x has no anchor &x before it; text that starts with \"*\" goes in quotes"},
	{"a: &x [*x]\n", "1:1{1:1=a 1:4[1:8='*x']}",
	 "1:8: alias *x has no anchor &x before it; text that starts with \"*\" goes in quotes"},

	{"a: 1\nb: 2\na: 3\n", "1:1{1:1=a 1:4=1 2:1=b 2:4=2}", "3:1: duplicate key \"a\"; it stands at line 1 already"},
	{"a: 1\n\"a\": 3\n", "1:1{1:1=a 1:4=1}", "2:1: duplicate key \"a\"; it stands at line 1 already"},
	{"{x: {a: 1, a: 2}, y: {a: 1}}", "1:1{1:2=x 1:5{1:6=a 1:9=1} 1:19=y 1:22{1:23=a 1:26=1}}",
	 "1:12: duplicate key \"a\"; it stands at line 1 already"},
	{"a: &x {k: 1}\nb:\n  <<: *x\n  c: 1\n", "1:1{1:1=a 1:4{1:8=k 1:11=1} 2:1=b 3:3{4:3=c 4:6=1}}",
	 "3:3: \"<<\" is not used here; a profile takes over another with \"extends\""},
	{"\"<<\": 1\n", "1:1{1:1='<<' 1:7=1}", NULL},
	{"[a, b]: 1\n", "1:1{}", "1:1: a key is text, not a list; a value such as {secret} goes in quotes"},
	{"a: {{secret}}\n", "1:1{1:1=a 1:4{}}",
	 "1:5: a key is text, not a mapping; a value such as {secret} goes in quotes"},
	{"a: !x\nb: !!str 5\n", "1:1{1:1=a 1:4=!x 2:1=b 2:4=5}",
	 "1:4: a YAML tag, which means nothing here; text that starts with \"!\" goes in quotes, such as \"!name\"\n"
	 "2:4: a YAML tag, which means nothing here; text that starts with \"!\" goes in quotes, such as \"!name\""},
	{"a: \"x\\0y\"\n", "1:1{1:1=a 1:4='x'}", "1:4: a NUL character in text"},

	{"", NULL, "1:1: the file is empty"},
	{"# nothing\n", NULL, "1:1: the file is empty"},
	{"a: 1\n---\nb: 2\n", NULL, "2:1: a second document; one file holds one"},
	{"a: 1\nb: \xff\n", NULL, "2:4: byte 0xff is not UTF-8; save the file as UTF-8"},
	{"\xff\xfe" "a\n", NULL, "1:1: byte 0xff is not UTF-8; save the file as UTF-8"},
	{"ö: \x1b[0m\n", NULL, "1:4: control character 0x1b"},
	{"a: 1\n\tb: 2\n", NULL, "2:1: a tab; YAML is indented with spaces"},
	{"a:\n\tb: 2\n", NULL, "2:1: a tab; YAML is indented with spaces"},
	{"a: *.x.com\n", NULL, "1:4: text that starts with \"*\" goes in quotes, such as \"*.example.com\""},
	{"a: [b, *.x.com]\n", NULL, "1:8: text that starts with \"*\" goes in quotes, such as \"*.example.com\""},
	{"a: &.x\n", NULL, "1:4: text that starts with \"&\" goes in quotes"},
	{"a: [!x.com]\n", NULL, "1:5: text that starts with \"!\" goes in quotes, such as \"!name\""},
	{"a: @x\n", NULL, "1:4: text that starts with this character goes in quotes"},
	{"a: `x`\n", NULL, "1:4: text that starts with this character goes in quotes"},
	{"a: b: c\n", NULL,
	 "1:5: a \":\" that is not expected here: this line or the one before is indented wrongly, the one before lacks its \":\", or "
	 "text with \": \" in it lacks its quotes"},
	{"a: 1\n  b: 2\n", NULL,
	 "2:4: a \":\" that is not expected here: this line or the one before is indented wrongly, the one before lacks its \":\", or "
	 "text with \": \" in it lacks its quotes"},
	{"x:\n  a: 1\n b: 2\n", NULL, "3:2: no key where one is expected; is this line indented like its neighbours?"},
	{"x:\n  - a\n - b\n", NULL, "3:2: no key where one is expected; is this line indented like its neighbours?"},
	{"x:\n  - a\n  b: 1\n", NULL, "3:3: no \"-\" where one is expected; is this line indented like its neighbours?"},
	{"a 1\nb: 2\n", NULL,
	 "2:2: a \":\" that is not expected here: this line or the one before is indented wrongly, the one before lacks its \":\", or "
	 "text with \": \" in it lacks its quotes"},
	{"a: 1\nb:2\nc: 3\n", NULL,
	 "2:1: a \":\" with a blank behind it is missing here, or this line is indented wrongly"},
	{"a: [::1]:8180\n", NULL, "1:5: text that starts with \"[\" goes in quotes, such as \"[::1]:8180\""},
	{"a: \"127.0.0.1\":8180\n", NULL, "1:15: text that goes on behind a quote or bracket goes in quotes as a whole"},
	{"a: [x, y\nb: 1\n", NULL, "1:4: the list that begins here lacks a \",\" or its \"]\""},
	{"a: {x: 1\nb: 1\n", NULL, "1:4: the mapping that begins here lacks a \",\" or its \"}\""},
	{"a: { path: /bot{secret} }\n", NULL,
	 "1:16: text with \"{\" or \"[\" in it goes in quotes where it stands in a list or mapping"},
	{"a: \"x\nb: 1\n", NULL, "1:4: the quote is never closed"},
	{"a: 'x\n", NULL, "1:4: the quote is never closed"},
	{"a: \"\\q\"\n", NULL,
	 "1:5: an unknown escape; a \"\\\" in double quotes is written twice, or the text stands in single quotes"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct arena arena = {0};
		AUTO_BUFFER struct buffer told = {0}, tree = {0};
		struct node *root = document_parse(span_of(rows[i].text), &arena, note, &told);
		if (root)
			write_node(&tree, root);
		buffer_string(&told, "");
		if (!root != !rows[i].tree || (root && strcmp(tree.data, rows[i].tree) != 0))
			fail_msg("`%s`: came %s, should be %s (told: %s)", rows[i].text, root ? tree.data : "nothing",
			         rows[i].tree ? rows[i].tree : "nothing", told.data);
		if (strcmp(told.data, rows[i].told ? rows[i].told : "") != 0)
			fail_msg("`%s`: told `%s`, should be `%s`", rows[i].text, told.data, rows[i].told ? rows[i].told : "");
		arena_free(&arena);
	}
}

/* One error and no tree. */
static void expect_limit(struct buffer *text, const char *should)
{
	struct arena arena = {0};
	AUTO_BUFFER struct buffer told = {0};
	clock_t start = clock();
	struct node *root = document_parse(buffer_view(text), &arena, note, &told);
	double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
	if (root || !told.data || strcmp(told.data, should) != 0)
		fail_msg("told `%s`, should be `%s`", told.data ? told.data : "", should);
	if (seconds > 5)
		fail_msg("`%s` took %.1f s", should, seconds);
	arena_free(&arena);
	buffer_clear(text);
}

static void test_limits(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer text = {0};
	for (unsigned i = 0; i <= DOCUMENT_DEPTH; i++)
		buffer_char(&text, '[');
	expect_limit(&text, "1:33: lists and mappings stand more than 32 deep in each other");
	memset(buffer_room(&text, 500000), '[', 500000);
	text.length = 500000;
	expect_limit(&text, "1:33: lists and mappings stand more than 32 deep in each other");
	buffer_char(&text, '[');
	for (unsigned i = 0; i < DOCUMENT_NODES; i++)
		buffer_string(&text, "x,");
	expect_limit(&text, "1:2000000: more than 1000000 values in one file");
	memset(buffer_room(&text, DOCUMENT_BYTES + 1), 'x', DOCUMENT_BYTES + 1);
	text.length = DOCUMENT_BYTES + 1;
	expect_limit(&text, "1:1: the file is longer than 16777216 bytes");
}

/* Each level stands for ten of the one before. */
static void test_alias_bomb(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer text = {0};
	buffer_string(&text, "- &a [x]\n");
	for (char level = 'b'; level <= 'z'; level++) {
		buffer_format(&text, "- &%c [*%c", level, level - 1);
		for (unsigned i = 0; i < 9; i++)
			buffer_format(&text, ",*%c", level - 1);
		buffer_string(&text, "]\n");
	}
	clock_t start = clock();
	expect_limit(&text, "6:16: aliases stand for more than 100000 values");
	assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 0.05);
}

static void test_find(void **state)
{
	(void)state;
	struct arena arena = {0};
	struct node *root = document_parse(SPAN("{a: x, b: }"), &arena, note, NULL);
	assert_string_equal(node_find(root, "a")->text, "x");
	assert_false(node_nothing(node_find(root, "a")));
	assert_true(node_nothing(node_find(root, "b")));
	assert_null(node_find(root, "c"));
	arena_free(&arena);
	root = document_parse(SPAN("''"), &arena, note, NULL);
	assert_false(node_nothing(root));
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_alias_bomb),
		cmocka_unit_test(test_find),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
