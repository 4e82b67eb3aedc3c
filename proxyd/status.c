#include "status.h"

#include <stdio.h>

#include "dial_parent.h"
#include "inquiry.h"
#include "secret.h"
#include "text.h"

static void put_text(struct buffer *out, const char *name, const char *text)
{
	json_key(out, name);
	if (!text) {
		buffer_string(out, "null");
		return;
	}
	buffer_char(out, '"');
	buffer_json(out, span_of(text));
	buffer_char(out, '"');
}

/* Milliseconds since 1970. */
static void put_moment(struct buffer *out, const char *name, uint64_t time)
{
	char text[TEXT_TIME], whole[TEXT_TIME + 8];
	text_time(time / 1000, text);
	text[strlen(text) - 1] = 0; /* the Z */
	snprintf(whole, sizeof whole, "%s.%03uZ", text, (unsigned)(time % 1000));
	put_text(out, name, whole);
}

static void put_list_begin(struct buffer *out, const char *name)
{
	json_open(out, name, '[');
}

/* ---- the server ---- */

static void put_configuration(struct server *server, const struct snapshot *snapshot, struct buffer *out)
{
	struct reload reload = reloads_get(&server->reloads, RELOAD_CONFIGURATION);
	json_open(out, "configuration", '{');
	put_text(out, "file", snapshot->config->file);
	json_time(out, "loaded", (uint64_t)reload.loaded);
	json_number(out, "reloads", reload.done);
	if (reload.failed_at) {
		json_open(out, "failed", '{');
		json_time(out, "time", (uint64_t)reload.failed_at);
		put_text(out, "why", reload.why);
		buffer_char(out, '}');
	} else {
		put_text(out, "failed", NULL);
	}
	buffer_char(out, '}');
}

static void put_server(struct server *server, bool serving, const struct snapshot *snapshot, struct buffer *out)
{
	put_text(out, "version", PACKAGE_VERSION);
	json_time(out, "started", (uint64_t)server->reloads.started);
	json_time(out, "now", (uint64_t)time(NULL));
	json_bool(out, "serving", serving);
	json_bool(out, "draining", atomic_load(&server->draining));
	json_number(out, "workers", server->worker_count);
	put_configuration(server, snapshot, out);
	json_open(out, "connections", '{');
	json_number(out, "clients", atomic_load(&server->connections));
	json_number(out, "limit", snapshot->config->limits.connections);
	buffer_char(out, '}');
}

/* ---- profiles and credentials ---- */

static void put_profile(const struct snapshot *snapshot, const struct config_profile *profile, struct buffer *out)
{
	json_open(out, NULL, '{');
	put_text(out, "name", profile->name);
	json_number(out, "connections", atomic_load(&snapshot->shared->headcounts[profile->number]->connections));
	put_list_begin(out, "credentials");
	for (size_t i = 0; i < profile->credential_count; i++)
		json_element(out, span_of(profile->credentials[i]->name));
	buffer_string(out, "]}");
}

static bool has_credential(const struct config_profile *profile, const struct config_credential *credential)
{
	for (size_t i = 0; i < profile->credential_count; i++)
		if (profile->credentials[i] == credential)
			return true;
	return false;
}

static void put_profiles_of(const struct config *config, const struct config_credential *credential, struct buffer *out)
{
	put_list_begin(out, "profiles");
	for (size_t i = 0; i < config->profile_count; i++)
		if (has_credential(&config->profiles[i], credential))
			json_element(out, span_of(config->profiles[i].name));
	buffer_char(out, ']');
}

static void put_upstream(const struct config_credential *credential, struct buffer *out)
{
	AUTO_BUFFER struct buffer text = {0};
	origin_format(&credential->upstream, &text);
	json_text(out, "upstream", buffer_view(&text));
}

/* The last of a credential's secrets to have changed; the first to end, its minted token included. */
static void put_times(const struct snapshot *snapshot, const struct config_credential *credential, struct buffer *out)
{
	uint64_t changed = 0, expires = 0;
	for (size_t i = 0; i < secrets_count(credential); i++) {
		const struct secret_value *value = secrets_get(snapshot->secrets, credential, i);
		if (value->ready && (uint64_t)value->changed > changed)
			changed = (uint64_t)value->changed;
		if (value->ready && value->until && (!expires || steady_date(value->until) < expires))
			expires = steady_date(value->until);
	}
	const struct minted_token *token = minted_get(snapshot->minted, credential);
	if (token->mints && token->bytes.length > 0)
		expires = steady_date(token->expires);
	json_time(out, "changed", changed);
	json_time(out, "expires", expires);
}

static void put_counts(struct server *server, struct tally_entry *entry, struct buffer *out)
{
	uint64_t sums[AUDIT_VERDICTS] = {0}, all = 0;
	for (size_t i = 0; entry && i < AUDIT_VERDICTS; i++)
		all += sums[i] = tallies_verdicts(server->tallies, entry, (enum audit_verdict)i);
	json_number(out, "requests", all);
	json_number(out, "denied", sums[AUDIT_DENY]);
	json_number(out, "failed", sums[AUDIT_FAIL]);
}

static void put_credential(struct server *server, const struct snapshot *snapshot, const struct config_credential *credential,
                           struct buffer *out)
{
	char endpoint[80];
	const char *waits = snapshot_waits(snapshot, credential);
	snprintf(endpoint, sizeof endpoint, "/%s/", credential->name);
	json_open(out, NULL, '{');
	put_text(out, "name", credential->name);
	put_upstream(credential, out);
	put_text(out, "endpoint", credential->upstream.wildcard ? NULL : endpoint);
	put_profiles_of(snapshot->config, credential, out);
	json_bool(out, "ready", !waits);
	put_text(out, "why", waits);
	put_text(out, "stale", snapshot_stale(snapshot, credential));
	put_times(snapshot, credential, out);
	put_counts(server, snapshot_credential_tally(snapshot, credential), out);
	buffer_char(out, '}');
}

static void put_parent(const struct snapshot *snapshot, struct buffer *out)
{
	const char *waits = snapshot->parent ? dial_parent_waits(snapshot->parent) : NULL;
	if (!snapshot->parent) {
		put_text(out, "parent", NULL);
		return;
	}
	json_open(out, "parent", '{');
	put_text(out, "proxy", dial_parent_name(snapshot->parent));
	json_bool(out, "ready", !waits);
	put_text(out, "why", waits);
	put_text(out, "stale", snapshot_stale_parent(snapshot));
	buffer_char(out, '}');
}

static void put_stale_parts(const struct snapshot *snapshot, struct buffer *out)
{
	put_list_begin(out, "stale_parts");
	for (size_t i = 0; i < SNAPSHOT_PARTS; i++) {
		const char *why = snapshot_stale_part(snapshot, (enum snapshot_part)i);
		if (!why)
			continue;
		json_open(out, NULL, '{');
		put_text(out, "part", snapshot_part_name((enum snapshot_part)i));
		put_text(out, "why", why);
		buffer_char(out, '}');
	}
	buffer_char(out, ']');
}

static void put_names(struct server *server, const struct snapshot *snapshot, struct buffer *out)
{
	const struct config *config = snapshot->config;
	put_list_begin(out, "profiles");
	for (size_t i = 0; i < config->profile_count; i++)
		put_profile(snapshot, &config->profiles[i], out);
	buffer_char(out, ']');
	put_list_begin(out, "credentials");
	for (size_t i = 0; i < config->credential_count; i++)
		put_credential(server, snapshot, &config->credentials[i], out);
	buffer_char(out, ']');
	put_parent(snapshot, out);
	put_stale_parts(snapshot, out);
}

/* ---- warnings ---- */

static void put_warning(void *out, const char *line)
{
	json_element(out, span_of(line));
}

static void put_warnings(struct server *server, const struct snapshot *snapshot, struct buffer *out)
{
	put_list_begin(out, "warnings");
	if (!secret_locked())
		put_warning(out, SECRET_NOT_LOCKED);
	if (audit_counts(server->audit).failing)
		put_warning(out, "the audit file cannot be written, and lines are lost: see the log");
	secrets_warnings(snapshot->config, snapshot->secrets, NULL, put_warning, out);
	identities_warnings(snapshot->config, snapshot->identities, put_warning, out);
	buffer_char(out, ']');
}

/* ---- what is under way, and what was refused ---- */

static void put_who(const struct trace *trace, struct buffer *out)
{
	put_text(out, "profile", trace->profile);
	put_text(out, "client", trace->client);
	put_text(out, "way", trace->way);
	put_text(out, "credential", trace->credential);
	put_text(out, "method", trace->method);
	put_text(out, "host", trace->host);
	if (trace->port)
		json_number(out, "port", trace->port);
	else
		put_text(out, "port", NULL);
	put_text(out, "path", trace->path);
}

static void put_live(const struct trace *trace, struct buffer *out)
{
	json_open(out, NULL, '{');
	put_text(out, "id", trace->id);
	put_moment(out, "since", trace->time);
	put_who(trace, out);
	put_text(out, "state", trace->state);
	json_number(out, "bytes_up", trace->bytes_up);
	json_number(out, "bytes_down", trace->bytes_down);
	buffer_char(out, '}');
}

static void put_refusal(const struct trace *trace, struct buffer *out)
{
	json_open(out, NULL, '{');
	put_moment(out, "time", trace->time);
	put_text(out, "id", trace->id);
	put_who(trace, out);
	put_text(out, "verdict", audit_verdict_name(trace->verdict));
	put_text(out, "rule", trace->rule);
	put_text(out, "reason", trace->reason);
	if (trace->status)
		json_number(out, "status", trace->status);
	else
		put_text(out, "status", NULL);
	buffer_char(out, '}');
}

static void put_traces(struct server *server, struct buffer *out)
{
	struct inquiry_result result;
	inquiry_ask(server, &result);
	put_list_begin(out, "live");
	for (size_t i = 0; i < result.live_count; i++)
		put_live(result.live[i], out);
	buffer_char(out, ']');
	json_number(out, "live_total", result.live_total);
	put_list_begin(out, "refusals");
	for (size_t i = 0; i < result.refusal_count; i++)
		put_refusal(result.refusals[i], out);
	buffer_char(out, ']');
	inquiry_free(&result);
}

void status_write(struct server *server, bool serving, struct buffer *out)
{
	struct snapshot *snapshot = server_snapshot(server);
	buffer_char(out, '{');
	put_server(server, serving, snapshot, out);
	put_names(server, snapshot, out);
	put_warnings(server, snapshot, out);
	put_traces(server, out);
	buffer_string(out, "}\n");
	snapshot_unref(snapshot);
}
