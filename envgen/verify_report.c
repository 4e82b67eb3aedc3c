#include "verify_report.h"

#include <stdio.h>
#include <stdlib.h>

#include "memory.h"
#include "text.h"
#include "verify_clients.h"

enum { COLUMNS = 6, WORD_BYTES = 48, MOST_WRONG = 4 };

static const char *const expected_words[] = {
	[EXPECT_PROXY] = "proxied",
	[EXPECT_DIRECT] = "direct",
	[EXPECT_EITHER] = "either",
	[EXPECT_ENDPOINT] = "endpoint",
};

static const struct {
	const char *word, *told; /* in JSON, and in the table */
	bool failed;
} verdicts[] = {
	[VERDICT_RIGHT] = {"right", "right", false},
	[VERDICT_DETOUR] = {"detour", "WRONG: slower, and nothing leaks", true},
	[VERDICT_SILENT] = {"silent", "WRONG: it connected to nothing", true},
	[VERDICT_LEAK] = {"leak", "LEAK: past the proxy", true},
	[VERDICT_UNAUTHENTICATED] = {"unauthenticated", "WRONG: through the proxy, but without its password", true},
	[VERDICT_UNTRIED] = {"untried", "not tried: it does no https here", false},
};

enum verdict verdict_of(const struct target *target, const struct outcome *outcome, size_t number)
{
	unsigned seen = outcome->seen[number];
	if (target->tls && outcome->http_only)
		return VERDICT_UNTRIED;
	if (!seen)
		return VERDICT_SILENT;
	if (target->expected != EXPECT_DIRECT && target->expected != EXPECT_EITHER && (seen & SEEN_DIRECT))
		return VERDICT_LEAK;
	if ((seen & (SEEN_PROXY | SEEN_CHALLENGED)) == SEEN_CHALLENGED)
		return VERDICT_UNAUTHENTICATED;
	if (target->expected == EXPECT_DIRECT && seen != SEEN_DIRECT)
		return VERDICT_DETOUR;
	return VERDICT_RIGHT;
}

static bool has_run(const struct outcome *outcome)
{
	return outcome->state == OUTCOME_ENDED || outcome->state == OUTCOME_LATE;
}

bool verify_passed(const struct targets *targets, const struct outcome *outcomes)
{
	for (size_t i = 0; i < verify_client_count; i++)
		for (size_t j = 0; has_run(&outcomes[i]) && j < targets->count; j++)
			if (verdicts[verdict_of(&targets->list[j], &outcomes[i], j)].failed)
				return false;
	return true;
}

static const char *seen_words(unsigned seen, char out[WORD_BYTES])
{
	static const struct {
		enum seen_way way;
		const char *word;
	} ways[] = {{SEEN_DIRECT, "direct"}, {SEEN_CHALLENGED, "challenged"}, {SEEN_PROXY, "proxied"}, {SEEN_ENDPOINT, "endpoint"}};
	AUTO_BUFFER struct buffer text = {0};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		if (seen & ways[i].way)
			buffer_format(&text, "%s%s", text.length ? ", " : "", ways[i].word);
	snprintf(out, WORD_BYTES, "%s", text.length ? text.data : "nothing");
	return out;
}

static void cell(struct text_table *table, const char *text)
{
	buffer_string(text_cell(table), text);
}

static void write_targets(const struct targets *targets, struct buffer *out)
{
	struct text_table table = {.columns = 3};
	cell(&table, "TARGET");
	cell(&table, "EXPECTED");
	cell(&table, "WHY");
	for (size_t i = 0; i < targets->count; i++) {
		cell(&table, targets->list[i].url);
		cell(&table, expected_words[targets->list[i].expected]);
		cell(&table, targets->list[i].why);
	}
	text_table_write(&table, out);
	text_table_free(&table);
}

static void add_row(struct text_table *table, size_t client, const struct outcome *outcome, const char *target,
                    const char *expected, const char *seen, const char *verdict)
{
	cell(table, verify_client_list[client].name);
	cell(table, outcome->version);
	cell(table, target);
	cell(table, expected);
	cell(table, seen);
	cell(table, verdict);
}

/* What went right, in one row for each way. */
static void add_right(struct text_table *table, const struct targets *targets, size_t client,
                      const struct outcome *outcome)
{
	for (size_t way = 0; way < sizeof expected_words / sizeof *expected_words; way++)
		for (unsigned seen = 1; seen <= SEEN_ALL; seen++) {
			unsigned count = 0;
			char words[WORD_BYTES];
			for (size_t i = 0; i < targets->count; i++)
				count += targets->list[i].expected == way && outcome->seen[i] == seen &&
				         verdict_of(&targets->list[i], outcome, i) == VERDICT_RIGHT;
			AUTO_FREE char *all = memory_format("%u target%s", count, count == 1 ? "" : "s");
			if (count > 0)
				add_row(table, client, outcome, all, expected_words[way], seen_words(seen, words),
				        verdicts[VERDICT_RIGHT].told);
		}
}

static void add_client(struct text_table *table, const struct targets *targets, size_t client,
                       const struct outcome *outcome)
{
	char words[WORD_BYTES];
	unsigned wrong = 0;
	add_right(table, targets, client, outcome);
	for (size_t i = 0; i < targets->count; i++) {
		enum verdict verdict = verdict_of(&targets->list[i], outcome, i);
		if (verdicts[verdict].failed && wrong++ < MOST_WRONG)
			add_row(table, client, outcome, targets->list[i].url, expected_words[targets->list[i].expected],
			        seen_words(outcome->seen[i], words), verdicts[verdict].told);
	}
	if (wrong > MOST_WRONG) {
		AUTO_FREE char *more = memory_format("%u more", wrong - MOST_WRONG);
		add_row(table, client, outcome, more, "", "", "WRONG: see --json");
	}
	if (outcome->http_only)
		add_row(table, client, outcome, "https", "", "", verdicts[VERDICT_UNTRIED].told);
}

static bool has_any(enum verdict verdict, const struct targets *targets, const struct outcome *outcome)
{
	for (size_t i = 0; i < targets->count; i++)
		if (verdict_of(&targets->list[i], outcome, i) == verdict)
			return true;
	return false;
}

static void write_help(const struct verify_client *client, const struct targets *targets, const struct outcome *outcome,
                       struct buffer *out)
{
	if (has_any(VERDICT_LEAK, targets, outcome))
		buffer_format(out, "%s: %s\n", client->name, client->hint ? client->hint :
		              "it does not go by its environment alone; look into its own settings, and confine it");
	if (has_any(VERDICT_UNAUTHENTICATED, targets, outcome))
		buffer_format(out, "%s: it does not send the password that stands in the proxy's URL, so proxyd answers it 407; %s\n",
		              client->name, client->password_hint ? client->password_hint :
		              "give it user and password in settings of its own, or a base URL instead");
}

/* What helps, and what is not known because a client is not here. */
static void write_notes(const struct targets *targets, const struct outcome *outcomes, struct buffer *out)
{
	AUTO_BUFFER struct buffer absent = {0};
	for (size_t i = 0; i < verify_client_count; i++) {
		const struct verify_client *client = &verify_client_list[i];
		if (!has_run(&outcomes[i]))
			buffer_format(&absent, "%s%s", absent.length ? ", " : "", client->name);
		if (outcomes[i].state == OUTCOME_LATE)
			buffer_format(out, "%s: stopped, since its time was over\n", client->name);
		if (has_run(&outcomes[i]))
			write_help(client, targets, &outcomes[i], out);
	}
	if (absent.length > 0)
		buffer_format(out, "not installed: %s\n", absent.data);
}

void verify_write_table(const struct targets *targets, const struct outcome *outcomes, struct buffer *out)
{
	static const char *const heads[COLUMNS] = {"CLIENT", "VERSION", "TARGET", "EXPECTED", "SEEN", "VERDICT"};
	struct text_table table = {.columns = COLUMNS};
	write_targets(targets, out);
	buffer_char(out, '\n');
	for (size_t i = 0; i < COLUMNS; i++)
		cell(&table, heads[i]);
	for (size_t i = 0; i < verify_client_count; i++)
		if (has_run(&outcomes[i]))
			add_client(&table, targets, i, &outcomes[i]);
	text_table_write(&table, out);
	text_table_free(&table);
	buffer_char(out, '\n');
	write_notes(targets, outcomes, out);
	buffer_string(out, verify_passed(targets, outcomes) ? "every client went the way that it should\n"
	                                                     : "NOT every client went the way that it should\n");
}

static void append_target(const struct target *target, struct buffer *out)
{
	json_text(out, "url", span_of(target->url));
	json_text(out, "expected", span_of(expected_words[target->expected]));
}

static void append_client(const struct targets *targets, size_t client, const struct outcome *outcome, struct buffer *out)
{
	char words[WORD_BYTES];
	json_open(out, NULL, '{');
	json_text(out, "client", span_of(verify_client_list[client].name));
	json_bool(out, "installed", has_run(outcome));
	if (has_run(outcome)) {
		json_text(out, "version", span_of(outcome->version));
		json_bool(out, "in_time", outcome->state == OUTCOME_ENDED);
		json_open(out, "results", '[');
		for (size_t i = 0; i < targets->count; i++) {
			json_open(out, NULL, '{');
			append_target(&targets->list[i], out);
			json_text(out, "seen", span_of(seen_words(outcome->seen[i], words)));
			json_text(out, "verdict", span_of(verdicts[verdict_of(&targets->list[i], outcome, i)].word));
			buffer_char(out, '}');
		}
		buffer_char(out, ']');
	}
	buffer_char(out, '}');
}

void verify_write_json(const struct targets *targets, const struct outcome *outcomes, struct buffer *out)
{
	json_open(out, NULL, '{');
	json_bool(out, "passed", verify_passed(targets, outcomes));
	json_open(out, "targets", '[');
	for (size_t i = 0; i < targets->count; i++) {
		json_open(out, NULL, '{');
		append_target(&targets->list[i], out);
		json_text(out, "why", span_of(targets->list[i].why));
		buffer_char(out, '}');
	}
	buffer_char(out, ']');
	json_open(out, "clients", '[');
	for (size_t i = 0; i < verify_client_count; i++)
		append_client(targets, i, &outcomes[i], out);
	buffer_string(out, "]}\n");
}
