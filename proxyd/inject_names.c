/* Fields that do not go up as they came, told by their names. */
#include "inject_internal.h"

#define LENGTHS 64 /* bits of name_table.lengths */

/* Hop by hop, or written by proxyd (RFC 9110 §7.6.1). Proxy-* is looked for apart. */
static const struct name_row standing[] = {
	{{"host", 4}, NAME_DROPPED},
	{{"connection", 10}, NAME_DROPPED},
	{{"keep-alive", 10}, NAME_DROPPED},
	{{"transfer-encoding", 17}, NAME_DROPPED},
	{{"content-length", 14}, NAME_DROPPED},
	{{"upgrade", 7}, NAME_UPGRADE},
	{{"http2-settings", 14}, NAME_DROPPED},
	{{"te", 2}, NAME_TE},
	{{"expect", 6}, NAME_EXPECT},
	{{"cookie", 6}, NAME_COOKIE},
	{{"sec-websocket-protocol", 22}, NAME_PROTOCOLS},
};
static const size_t standing_count = sizeof standing / sizeof *standing;

static char fold(char c)
{
	char lower = span_lower(c);
	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') ? lower : '-';
}

static bool folds_to(struct span name, struct span folded)
{
	for (size_t i = 0; i < folded.length; i++)
		if (fold(name.data[i]) != folded.data[i])
			return false;
	return true;
}

bool inject_names_alike(struct span a, struct span b)
{
	if (a.length != b.length)
		return false;
	for (size_t i = 0; i < a.length; i++)
		if (fold(a.data[i]) != fold(b.data[i]))
			return false;
	return true;
}

static struct span folded(struct span name, struct arena *arena)
{
	char *text = arena_copy(arena, name.data, name.length);
	for (size_t i = 0; i < name.length; i++)
		text[i] = fold(text[i]);
	return (struct span){text, name.length};
}

static void add(struct name_table *table, struct span name, enum name_rule rule)
{
	table->rows[table->count++] = (struct name_row){name, rule};
	table->lengths |= UINT64_C(1) << name.length % LENGTHS;
}

static bool passes(const struct config_credential *credential, struct span name)
{
	for (size_t i = 0; i < credential->pass.count; i++)
		if (span_equal_nocase(span_of(credential->pass.list[i]), name))
			return true;
	return false;
}

/* The places of the secret, and Authorization, which nearly every service reads. */
static void add_places(struct name_table *table, const struct config_credential *credential, struct arena *arena)
{
	bool basic = false, signs = false;
	for (size_t i = 0; i < credential->injection_count; i++) {
		const struct injection *injection = &credential->injections[i];
		basic |= injection->kind == INJECT_BASIC;
		signs |= injection->kind == INJECT_AWS_SIGV4;
		if (injection->kind == INJECT_HEADER)
			add(table, folded(span_of(injection->name), arena), NAME_DROPPED);
	}
	for (size_t i = 0; signs && sign_field_names[i]; i++)
		add(table, span_of(sign_field_names[i]), NAME_DROPPED);
	if (credential->scrub)
		add(table, SPAN("accept-encoding"), NAME_CODINGS);
	if (basic || !passes(credential, SPAN("authorization")))
		add(table, SPAN("authorization"), NAME_DROPPED);
}

struct name_table inject_names(const struct config_credential *credential, struct arena *arena)
{
	struct name_table table = {0};
	size_t places = credential ? credential->injection_count + SIGN_FIELD_NAMES + 2 : 0;
	table.rows = arena_zero(arena, (standing_count + places) * sizeof *table.rows);
	if (credential)
		add_places(&table, credential, arena);
	for (size_t i = 0; i < standing_count; i++)
		add(&table, standing[i].name, standing[i].rule);
	return table;
}

enum name_rule inject_name_rule(const struct name_table *table, struct span name)
{
	static const struct span proxy = {"proxy-", 6};
	if (name.length >= proxy.length && span_lower(name.data[0]) == 'p' && folds_to(name, proxy))
		return NAME_DROPPED;
	if (!(table->lengths >> name.length % LENGTHS & 1))
		return NAME_KEPT;
	for (size_t i = 0; i < table->count; i++)
		if (table->rows[i].name.length == name.length && folds_to(name, table->rows[i].name))
			return table->rows[i].rule;
	return NAME_KEPT;
}
