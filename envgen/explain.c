/* envgen explain: what becomes of a host, and why. */
#include <stdio.h>
#include <stdlib.h>

#include "clients.h"
#include "commands.h"
#include "memory.h"
#include "subject.h"
#include "text.h"
#include "verdict.h"

/* Stands for all names below a wildcard: nobody has a host of this name. */
#define ANY "keystile-any"

/* Where the explanations go: a table, or JSON. */
struct explaining {
	const struct verdicts *verdicts;
	bool json;
	struct text_table table;
	struct buffer out;
};

static void append_clients(const struct verdict *verdict, struct buffer *cell)
{
	const char *before = verdict->kind == VERDICT_DIRECT ? "; through the proxy all the same: " : "; past the proxy: ";
	for (size_t i = 0; i < client_count; i++)
		if (verdict->differs[i]) {
			buffer_format(cell, "%s%s", before, client_list[i].name);
			before = "; ";
		}
}

static void add_to_table(struct explaining *explaining, const char *host, const struct verdict *verdict)
{
	struct text_table *table = &explaining->table;
	buffer_string(text_cell(table), host);
	buffer_string(text_cell(table), verdict_name(verdict->kind));
	struct buffer *rule = text_cell(table);
	if (verdict->rule)
		buffer_format(rule, "%s (%s:%u)", verdict->rule, verdict->mark.file, verdict->mark.line);
	struct buffer *why = text_cell(table);
	buffer_span(why, buffer_view(&verdict->why));
	append_clients(verdict, why);
}

static void add_to_json(struct explaining *explaining, const char *host, const struct verdict *verdict)
{
	struct buffer *out = &explaining->out;
	json_open(out, NULL, '{');
	json_text(out, "host", span_of(host));
	json_text(out, "verdict", span_of(verdict_name(verdict->kind)));
	if (verdict->rule) {
		json_text(out, "rule", span_of(verdict->rule));
		json_text(out, "file", span_of(verdict->mark.file));
		json_number(out, "line", verdict->mark.line);
	}
	json_text(out, "why", buffer_view(&verdict->why));
	json_open(out, verdict->kind == VERDICT_DIRECT ? "through_the_proxy" : "past_the_proxy", '[');
	for (size_t i = 0; i < client_count; i++)
		if (verdict->differs[i])
			json_element(out, span_of(client_list[i].name));
	buffer_string(out, "]}");
}

static void add(struct explaining *explaining, const char *host, const struct verdict *verdict)
{
	if (explaining->json)
		add_to_json(explaining, host, verdict);
	else
		add_to_table(explaining, host, verdict);
}

static bool same(const struct verdict *a, const struct verdict *b)
{
	return a->kind == b->kind && a->rule == b->rule && span_equal(buffer_view(&a->why), buffer_view(&b->why)) &&
	       memcmp(a->differs, b->differs, client_count * sizeof *a->differs) == 0;
}

/* One row for the host at `port`; without a port, one for 443 and 80 where both are the same, else one for each. */
static void explain(struct explaining *explaining, const char *shown, const struct host *host, uint16_t port)
{
	struct verdict first, second;
	verdicts_judge(explaining->verdicts, host, port ? port : 443, port != 0, &first);
	verdicts_judge(explaining->verdicts, host, port ? port : 80, port != 0, &second);
	if (same(&first, &second)) {
		add(explaining, shown, &first);
	} else {
		AUTO_FREE char *https = memory_format("%s (443)", shown), *http = memory_format("%s (80)", shown);
		add(explaining, https, &first);
		add(explaining, http, &second);
	}
	verdict_free(&first);
	verdict_free(&second);
}

static void explain_pattern(struct explaining *explaining, const struct pattern *pattern)
{
	char shown[PATTERN_TEXT];
	struct pattern plain = *pattern;
	struct host host = pattern->host;
	plain.deny = false;
	pattern_format(&plain, shown);
	if (pattern->kind == PATTERN_WILDCARD) {
		AUTO_FREE char *below = memory_format(ANY ".%s", pattern->host.name);
		if (!host_parse(span_of(below), &host, NULL))
			host = pattern->host; /* no name below it has room */
	}
	explain(explaining, shown, &host, pattern->port);
}

/* Is its host that of one that comes before it? */
static bool is_told(const struct config_profile *profile, size_t which)
{
	for (size_t i = 0; i < which; i++)
		if (verdict_same_host(profile->credentials[i], profile->credentials[which]))
			return true;
	return false;
}

static void explain_all(struct explaining *explaining, const struct config_profile *profile)
{
	for (size_t i = 0; i < profile->credential_count; i++)
		if (!is_told(profile, i))
			explain_pattern(explaining, &profile->credentials[i]->host);
	for (size_t i = 0; i < profile->host_count; i++)
		explain_pattern(explaining, &profile->hosts[i].pattern);
}

static bool read_host(const char *word, struct authority *authority, struct fault *fault)
{
	if (strchr(word, '/'))
		return fault_set(fault, FAULT_USAGE, "%s: name a host, such as api.example.com or api.example.com:8443, without scheme "
		                 "and path", word);
	if (strchr(word, '*'))
		return fault_set(fault, FAULT_USAGE, "%s: name one host below it", word);
	return authority_parse(span_of(word), authority, fault);
}

static void start(struct explaining *explaining)
{
	static const char *const heading[] = {"HOST", "VERDICT", "RULE", "WHY"};
	for (size_t i = 0; i < explaining->table.columns && !explaining->json; i++)
		buffer_string(text_cell(&explaining->table), heading[i]);
	if (explaining->json)
		buffer_char(&explaining->out, '[');
}

static bool finish(struct explaining *explaining, struct fault *fault)
{
	if (explaining->json)
		buffer_string(&explaining->out, "]\n");
	else
		text_table_write(&explaining->table, &explaining->out);
	bool done = text_print(buffer_view(&explaining->out), fault);
	text_table_free(&explaining->table);
	buffer_free(&explaining->out);
	return done;
}

bool command_explain(struct call *call, struct fault *fault)
{
	struct authority asked;
	const char *word = call->count ? call->words[0] : NULL;
	AUTO_SUBJECT struct subject subject = {0};
	if ((word && !read_host(word, &asked, fault)) ||
	    !subject_load(call->options, SUBJECT_PROFILE | SUBJECT_ADVERTISE, &subject, fault))
		return false;
	struct verdicts *verdicts = verdicts_new(&subject.request);
	struct explaining explaining = {.verdicts = verdicts, .json = call->options->json, .table = {.columns = 4}};
	start(&explaining);
	if (word)
		explain(&explaining, word, &asked.host, asked.port);
	else
		explain_all(&explaining, subject.request.profile);
	verdicts_free(verdicts);
	return finish(&explaining, fault);
}
