#include "noproxy.h"

#include <stdio.h>

#include "arena.h"
#include "memory.h"
#include "table.h"

struct noproxy_private {
	struct arena memory;
	const struct noproxy_guard *guard;
	struct noproxy_guard *judged;
	struct table places; /* text → the first entry that lists it */
	size_t length, limit;
	bool local_only;     /* `direct: false` */
	bool local_guarded;  /* something at loopback is behind the proxy */
};

static const struct host localhost = {.kind = HOST_NAME, .length = 9, .name = "localhost"},
                         loopback = {.kind = HOST_IPV4, .length = 9, .name = "127.0.0.1", .address = {127, 0, 0, 1}};

static const struct noproxy_guarded *guarded_by(const struct noproxy_private *private, const struct host *host,
                                                uint16_t port)
{
	const struct noproxy_guarded *found = noproxy_guard_find(private->guard, host, port);
	return found ? found : noproxy_guard_find(private->judged, host, port);
}

/* Puts a safe entry into the list, where there is room. */
static void take_place(struct noproxy_private *private, struct noproxy_entry *entry)
{
	if (table_get(&private->places, entry->text)) {
		entry->repeated = true;
		return;
	}
	size_t more = entry->text.length + (private->length ? 1 : 0);
	if (private->length + more > private->limit) {
		entry->reason = NOPROXY_NO_ROOM;
		private->limit = private->length; /* what stands behind it has no room either */
		return;
	}
	private->length += more;
	table_put(&private->places, entry->text, entry);
}

static void judge_entry(struct noproxy_private *private, struct noproxy_entry *entry, const struct host *host,
                        uint16_t port)
{
	entry->against = guarded_by(private, host, port);
	if (entry->against)
		entry->reason = NOPROXY_GUARDED;
	else
		take_place(private, entry);
}

static void add_local(struct noproxy *list, const struct host *host)
{
	struct noproxy_private *private = list->private;
	struct noproxy_entry *entry = &list->entries[list->count++];
	*entry = (struct noproxy_entry){.text = arena_span(&private->memory, host_span(host))};
	if (private->local_only && (private->local_guarded || !host_is_loopback(host)))
		entry->reason = NOPROXY_INDIRECT;
	else
		judge_entry(private, entry, host, 0);
}

/* As every client reads it; empty where none does. */
static struct span text_of(struct arena *memory, const struct pattern *pattern)
{
	if (pattern->kind == PATTERN_WILDCARD)
		return span_of(arena_format(memory, ".%s", pattern->host.name));
	if (!pattern->port)
		return host_span(&pattern->host);
	return span_of(arena_format(memory, "%s:%u", pattern->host.name, (unsigned)pattern->port));
}

/* What of the entry itself keeps it out. */
static enum noproxy_reason reason_of(const struct noproxy_private *private, const struct config_host *host)
{
	const struct pattern *pattern = &host->pattern;
	if (config_host_is_judged(host))
		return NOPROXY_JUDGED;
	if (pattern->kind == PATTERN_CIDR || pattern->host.kind != HOST_NAME)
		return NOPROXY_ADDRESS;
	if (pattern->kind == PATTERN_WILDCARD && pattern->port)
		return NOPROXY_PORTS;
	return private->local_only ? NOPROXY_INDIRECT : NOPROXY_LISTED;
}

static void add_host(struct noproxy *list, const struct config_host *host)
{
	struct noproxy_entry *entry = &list->entries[list->count++];
	*entry = (struct noproxy_entry){.host = host, .reason = reason_of(list->private, host)};
	if (entry->reason != NOPROXY_LISTED)
		return;
	entry->text = text_of(&list->private->memory, &host->pattern);
	judge_entry(list->private, entry, &host->pattern.host, host->pattern.port);
}

static bool allows_loopback(const struct config_profile *profile)
{
	for (size_t i = 0; i < profile->host_count; i++)
		if (!profile->hosts[i].pattern.deny && pattern_is_loopback(&profile->hosts[i].pattern))
			return true;
	return false;
}

struct noproxy *noproxy_new(const struct noproxy_guard *guard, const struct config_profile *profile,
                            const struct authority *advertise, size_t limit)
{
	struct noproxy *list = memory_alloc(sizeof *list);
	struct noproxy_private *private = list->private = memory_alloc(sizeof *private);
	private->guard = guard;
	private->judged = noproxy_guard_of_judged(profile);
	private->limit = limit;
	private->local_only = !profile->direct;
	private->local_guarded = allows_loopback(profile);
	list->entries = memory_array(profile->host_count + 3, sizeof *list->entries);
	add_local(list, &localhost);
	add_local(list, &loopback);
	if (advertise->host.length && advertise->host.kind != HOST_IPV6)
		add_local(list, &advertise->host);
	for (size_t i = 0; i < profile->host_count; i++)
		if (!profile->hosts[i].pattern.deny)
			add_host(list, &profile->hosts[i]);
	return list;
}

void noproxy_free(struct noproxy *list)
{
	if (!list)
		return;
	noproxy_guard_free(list->private->judged);
	table_free(&list->private->places);
	arena_free(&list->private->memory);
	free(list->private);
	free(list->entries);
	free(list);
}

static bool is_written(const struct noproxy_entry *entry)
{
	return entry->reason == NOPROXY_LISTED && !entry->repeated;
}

void noproxy_write(const struct noproxy *list, struct buffer *out)
{
	const char *before = "";
	for (size_t i = 0; i < list->count; i++) {
		if (!is_written(&list->entries[i]))
			continue;
		buffer_string(out, before);
		buffer_span(out, list->entries[i].text);
		before = ",";
	}
}

/* A list that is not empty makes Java add all of loopback to it: with something at loopback behind the proxy there is none. */
size_t noproxy_write_java(const struct noproxy *list, size_t limit, struct buffer *out)
{
	size_t start = out->length, omitted = 0;
	const struct noproxy_private *private = list->private;
	if (noproxy_guard_loopback(private->guard) || noproxy_guard_loopback(private->judged) ||
	    (private->local_only && private->local_guarded))
		return 0;
	for (size_t i = 0; i < list->count; i++) {
		const struct noproxy_entry *entry = &list->entries[i];
		if (!is_written(entry) || (entry->host && entry->host->pattern.port))
			continue;
		const char *before = out->length > start ? "|" : "", *star = entry->text.data[0] == '.' ? "*" : "";
		if (out->length - start + strlen(before) + strlen(star) + entry->text.length > limit)
			omitted++;
		else
			buffer_format(out, "%s%s%.*s", before, star, SPAN_ARGS(entry->text));
	}
	return omitted;
}

const struct noproxy_entry *noproxy_find(const struct noproxy *list, const struct host *host, uint16_t port)
{
	char text[AUTHORITY_TEXT];
	const struct table *places = &list->private->places;
	struct span name = host_span(host), with_port = {text, authority_format(host, port, text)};
	const struct noproxy_entry *found = table_get(places, name);
	if (!found && port)
		found = table_get(places, with_port);
	for (size_t i = 0; !found && host->kind == HOST_NAME && i < name.length; i++)
		if (name.data[i] == '.' && !(found = table_get(places, span_from(name, i))))
			found = table_get(places, span_from(name, i + 1));
	return found;
}

/* The listed entries `letters`, `.letters` and `letters:port`. */
static bool visit_letters(const struct noproxy *list, const char *letters, unsigned port,
                          bool (*visit)(const struct noproxy_entry *entry, void *context), void *context)
{
	char text[AUTHORITY_TEXT];
	size_t length = (size_t)snprintf(text, sizeof text, ".%s:%u", letters, port), bare = strlen(letters);
	const struct span shapes[] = {{text + 1, bare}, {text, bare + 1}, {text + 1, length - 1}};
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		const struct noproxy_entry *entry = table_get(&list->private->places, shapes[i]);
		if (entry && !visit(entry, context))
			return false;
	}
	return true;
}

void noproxy_visit(const struct noproxy *list, const struct host *host, uint16_t port,
                   bool (*visit)(const struct noproxy_entry *entry, void *context), void *context)
{
	for (size_t i = 0; i < list->count && !list->entries[i].host; i++)
		if (is_written(&list->entries[i]) && !visit(&list->entries[i], context))
			return;
	for (size_t i = 0; i < host->length; i++)
		if (host->name[i] != '.' && !visit_letters(list, host->name + i, port, visit, context))
			return;
}
