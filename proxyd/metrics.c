#include "metrics.h"

#include "exposition.h"
#include "metrics_process.h"
#include "secret.h"

static void family(struct exposition *exposition, enum exposition_type type, const char *name, const char *help)
{
	exposition_family(exposition, type, name, help);
}

static void plain(struct exposition *exposition, enum exposition_type type, const char *name, const char *help, uint64_t value)
{
	family(exposition, type, name, help);
	exposition_sample(exposition, NULL, value);
}

/* ---- what all workers count ---- */

static const struct count_row {
	enum tally_count count;
	enum exposition_type type;
	const char *name, *help;
} count_rows[] = {
	{TALLY_BYTES_UP, EXPOSITION_COUNTER, "keystile_bytes_up_total", "Bytes of bodies, tunnels and upgrades towards upstreams, counted at their ends."},
	{TALLY_BYTES_DOWN, EXPOSITION_COUNTER, "keystile_bytes_down_total", "Bytes of bodies, tunnels and upgrades towards clients, counted at their ends."},
	{TALLY_INJECTED, EXPOSITION_COUNTER, "keystile_injected_total", "Requests that went up with a secret."},
	{TALLY_SCRUB_FINDS, EXPOSITION_COUNTER, "keystile_scrub_finds_total", "Secrets found in responses, and hidden."},
	{TALLY_SCRUB_UNREAD, EXPOSITION_COUNTER, "keystile_scrub_unread_total", "Responses to requests with a secret that could not be searched."},
	{TALLY_ROTATIONS, EXPOSITION_COUNTER, "keystile_rotations_total", "Requests that were sent with both the old and the new value of a secret."},
	{TALLY_TUNNELS, EXPOSITION_COUNTER, "keystile_tunnels_opened_total", "Tunnels through which bytes flowed untouched."},
	{TALLY_TUNNELS_NOW, EXPOSITION_GAUGE, "keystile_tunnels", "Tunnels through which bytes flow untouched now."},
	{TALLY_UPGRADES, EXPOSITION_COUNTER, "keystile_upgrades_total", "Connections that a 101 switched to another protocol."},
	{TALLY_UPGRADES_NOW, EXPOSITION_GAUGE, "keystile_upgrades", "Connections that are switched to another protocol now."},
	{TALLY_UPSTREAM_NEW, EXPOSITION_COUNTER, "keystile_upstream_connections_opened_total", "Connections to upstreams, begun, tunnels aside."},
	{TALLY_UPSTREAM_REUSED, EXPOSITION_COUNTER, "keystile_upstream_reuses_total", "Requests that went up on a connection that had served before."},
	{TALLY_UPSTREAM_NOW, EXPOSITION_GAUGE, "keystile_upstream_connections", "Connections to upstreams now, resting ones included, tunnels aside."},
};

static void write_counts(struct exposition *exposition, const struct tallies *tallies)
{
	for (size_t i = 0; i < sizeof count_rows / sizeof *count_rows; i++)
		plain(exposition, count_rows[i].type, count_rows[i].name, count_rows[i].help, tallies_sum(tallies, count_rows[i].count));
}

static uint64_t sum_cells(struct tallies *tallies, const atomic_ullong *(*cell)(const struct tally *, size_t, size_t), size_t row,
                          size_t column)
{
	uint64_t sum = 0;
	for (unsigned i = 0; i < tallies_workers(tallies); i++)
		sum += tally_read(cell(tallies_worker(tallies, i), row, column));
	return sum;
}

static const atomic_ullong *reason_cell(const struct tally *tally, size_t row, size_t column)
{
	return &tally->reasons[row][column];
}

static const atomic_ullong *way_cell(const struct tally *tally, size_t row, size_t column)
{
	return &tally->ways[row][column];
}

static const atomic_ullong *tunnel_cell(const struct tally *tally, size_t row, size_t column)
{
	(void)row;
	return &tally->tunnels[column];
}

static const atomic_ullong *limit_cell(const struct tally *tally, size_t row, size_t column)
{
	(void)column;
	return &tally->limits[row];
}

/* Each reason is there from the start, so that its first time is an increase. */
static void write_reasons(struct exposition *exposition, struct tallies *tallies, enum audit_verdict verdict, const char *name,
                          const char *help)
{
	family(exposition, EXPOSITION_COUNTER, name, help);
	for (size_t i = 0; i < TALLY_REASONS && tally_reasons[i].name; i++) {
		const struct exposition_label labels[] = {{"reason", tally_reasons[i].name}, {0}};
		exposition_sample(exposition, labels, sum_cells(tallies, reason_cell, i, verdict));
	}
}

static void write_ways(struct exposition *exposition, struct tallies *tallies)
{
	family(exposition, EXPOSITION_COUNTER, "keystile_exchanges_total", "Requests, tunnels and connections refused before either, by way in.");
	for (size_t i = 0; i < TALLY_WAYS; i++)
		for (size_t j = 0; j < AUDIT_VERDICTS; j++) {
			const struct exposition_label labels[] = {
				{"way", way_name((enum way_kind)i)}, {"verdict", audit_verdict_name((enum audit_verdict)j)}, {0}};
			exposition_sample(exposition, labels, sum_cells(tallies, way_cell, i, j));
		}
	family(exposition, EXPOSITION_COUNTER, "keystile_tunnels_total", "Tunnels that were asked for, by what became of them; counted at their ends.");
	for (size_t j = 0; j < AUDIT_VERDICTS; j++) {
		const struct exposition_label labels[] = {{"verdict", audit_verdict_name((enum audit_verdict)j)}, {0}};
		exposition_sample(exposition, labels, sum_cells(tallies, tunnel_cell, 0, j));
	}
}

static void write_limits(struct exposition *exposition, struct server *server, const struct config_limits *limits)
{
	static const char *const units[] = {[TALLY_UNIT_BYTES] = "bytes", [TALLY_UNIT_COUNT] = "count", [TALLY_UNIT_TIME] = "seconds"};
	family(exposition, EXPOSITION_COUNTER, "keystile_limit_hits_total", "What ended, or was refused, since it was at a limit of `limits:`.");
	for (size_t i = 0; i < TALLY_LIMITS; i++) {
		const struct exposition_label labels[] = {{"limit", tally_limit_names[i].name}, {0}};
		exposition_sample(exposition, labels, sum_cells(server->tallies, limit_cell, i, 0));
	}
	family(exposition, EXPOSITION_GAUGE, "keystile_limit", "The limits of `limits:`; 0 where there is none.");
	for (size_t i = 0; i < TALLY_LIMITS; i++) {
		const struct tally_limit_name *limit = &tally_limit_names[i];
		uint64_t value = *(const uint64_t *)(const void *)((const char *)limits + limit->offset);
		const struct exposition_label labels[] = {{"limit", limit->name}, {"unit", units[limit->unit]}, {0}};
		if (limit->unit == TALLY_UNIT_TIME)
			exposition_seconds(exposition, labels, value * 1000);
		else
			exposition_sample(exposition, labels, value);
	}
}

/* ---- by name ---- */

static void write_statuses(struct exposition *exposition, const struct tallies *tallies)
{
	family(exposition, EXPOSITION_COUNTER, "keystile_requests_total",
	       "Requests that ended, by credential (empty: none) and by the status that the client got (none: no answer).");
	for (struct tally_entry *entry = tallies_first(tallies, TALLY_CREDENTIAL); entry; entry = entry->next)
		for (size_t i = 0; i < TALLY_STATUSES; i++) {
			uint64_t sum = 0;
			for (unsigned j = 0; j < tallies_workers(tallies); j++)
				sum += tally_read(&entry->cells[j].statuses[i]);
			const struct exposition_label labels[] = {{"credential", entry->name}, {"status", tally_status_name(i)}, {0}};
			if (sum > 0 || (labels[1].value && strcmp(labels[1].value, "200") == 0))
				exposition_sample(exposition, labels, sum);
		}
}

static void write_verdicts(struct exposition *exposition, const struct tallies *tallies, enum tally_kind kind, const char *label,
                           const char *name, const char *help)
{
	family(exposition, EXPOSITION_COUNTER, name, help);
	for (struct tally_entry *entry = tallies_first(tallies, kind); entry; entry = entry->next)
		for (size_t i = 0; i < AUDIT_VERDICTS; i++) {
			const struct exposition_label labels[] = {{label, entry->name}, {"verdict", audit_verdict_name((enum audit_verdict)i)}, {0}};
			exposition_sample(exposition, labels, tallies_verdicts(tallies, entry, (enum audit_verdict)i));
		}
}

static void write_histogram(struct exposition *exposition, const struct tallies *tallies, size_t offset, const char *name,
                            const char *help)
{
	family(exposition, EXPOSITION_HISTOGRAM, name, help);
	for (struct tally_entry *entry = tallies_first(tallies, TALLY_CREDENTIAL); entry; entry = entry->next) {
		uint64_t counts[TALLY_BOUNDS + 1] = {0}, microseconds = 0;
		for (unsigned i = 0; i < tallies_workers(tallies); i++) {
			const struct tally_histogram *cell =
				(const struct tally_histogram *)(const void *)((const char *)&entry->cells[i] + offset);
			for (size_t j = 0; j <= TALLY_BOUNDS; j++)
				counts[j] += tally_read(&cell->buckets[j]);
			microseconds += tally_read(&cell->microseconds);
		}
		const struct exposition_label labels[] = {{"credential", entry->name}, {0}};
		exposition_histogram(exposition, labels, tally_bounds, counts, TALLY_BOUNDS, microseconds);
	}
}

static void write_names(struct exposition *exposition, const struct tallies *tallies)
{
	write_statuses(exposition, tallies);
	write_verdicts(exposition, tallies, TALLY_CREDENTIAL, "credential", "keystile_credential_requests_total",
	               "Requests that ended, by credential and verdict.");
	write_verdicts(exposition, tallies, TALLY_PROFILE, "profile", "keystile_profile_requests_total",
	               "Requests that ended, by profile and verdict.");
	write_histogram(exposition, tallies, offsetof(struct tally_cells, duration), "keystile_request_duration_seconds",
	                "From the request's head to the end of the exchange, of those that were not refused.");
	write_histogram(exposition, tallies, offsetof(struct tally_cells, first_byte), "keystile_time_to_first_byte_seconds",
	                "From the request's head to the head of the upstream's response.");
}

/* ---- secrets ---- */

static void write_readiness(struct exposition *exposition, const struct snapshot *snapshot)
{
	const struct config *config = snapshot->config;
	family(exposition, EXPOSITION_GAUGE, "keystile_credential_ready", "Whether requests with the credential can go up now.");
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct exposition_label labels[] = {{"credential", config->credentials[i].name}, {0}};
		exposition_sample(exposition, labels, snapshot_waits(snapshot, &config->credentials[i]) == NULL);
	}
	family(exposition, EXPOSITION_GAUGE, "keystile_secret_stale",
	       "Whether the credential works with what it had, and its sources have no more.");
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct exposition_label labels[] = {{"credential", config->credentials[i].name}, {0}};
		exposition_sample(exposition, labels, snapshot_stale(snapshot, &config->credentials[i]) != NULL);
	}
}

static void write_stale_parts(struct exposition *exposition, const struct snapshot *snapshot)
{
	family(exposition, EXPOSITION_GAUGE, "keystile_part_stale",
	       "The same of what belongs to no credential: the session key, the CA of interception, the parent proxy's auth.");
	for (size_t i = 0; i < SNAPSHOT_PARTS; i++) {
		const struct exposition_label labels[] = {{"part", snapshot_part_name((enum snapshot_part)i)}, {0}};
		exposition_sample(exposition, labels, snapshot_stale_part(snapshot, (enum snapshot_part)i) != NULL);
	}
	exposition_sample(exposition, (const struct exposition_label[]){{"part", "parent"}, {0}}, snapshot_stale_parent(snapshot) != NULL);
}

static const char *secret_id(const struct config_credential *credential, size_t index)
{
	return index < credential->secret_count ? credential->secrets[index].id : "client.key";
}

static void write_secret_times(struct exposition *exposition, const struct snapshot *snapshot, const char *name, const char *help,
                               time_t (*time_of)(const struct secret_value *))
{
	const struct config *config = snapshot->config;
	family(exposition, EXPOSITION_GAUGE, name, help);
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		for (size_t j = 0; j < secrets_count(credential); j++) {
			const struct secret_value *value = secrets_get(snapshot->secrets, credential, j);
			const struct exposition_label labels[] = {{"credential", credential->name}, {"secret", secret_id(credential, j)}, {0}};
			if (value->ready && time_of(value))
				exposition_sample(exposition, labels, (uint64_t)time_of(value));
		}
	}
}

static time_t changed(const struct secret_value *value)
{
	return value->changed;
}

static time_t expires(const struct secret_value *value)
{
	return value->until ? (time_t)steady_date(value->until) : 0;
}

static void write_tokens(struct exposition *exposition, const struct snapshot *snapshot)
{
	const struct config *config = snapshot->config;
	family(exposition, EXPOSITION_GAUGE, "keystile_token_expires_timestamp_seconds",
	       "When the token that was minted for the credential must not be used any more; absent where there is none.");
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct minted_token *token = minted_get(snapshot->minted, &config->credentials[i]);
		const struct exposition_label labels[] = {{"credential", config->credentials[i].name}, {0}};
		if (token->mints && token->bytes.length > 0)
			exposition_sample(exposition, labels, steady_date(token->expires));
	}
}

static void write_secrets(struct exposition *exposition, struct server *server)
{
	struct snapshot *snapshot = server_snapshot(server);
	write_readiness(exposition, snapshot);
	write_stale_parts(exposition, snapshot);
	write_secret_times(exposition, snapshot, "keystile_secret_changed_timestamp_seconds", "When the secret's value was first seen.",
	                   changed);
	write_secret_times(exposition, snapshot, "keystile_secret_expires_timestamp_seconds",
	                   "When what the secret's command printed must not be used any more.", expires);
	write_tokens(exposition, snapshot);
	plain(exposition, EXPOSITION_GAUGE, "keystile_memory_locked", "Whether secrets are locked into memory.", secret_locked());
	plain(exposition, EXPOSITION_GAUGE, "keystile_state_writable",
	      "Whether the vault's generation could be kept, or there is no vault: else an older copy would not be noticed.",
	      secrets_state_kept(snapshot->secrets));
	snapshot_unref(snapshot);
}

/* ---- the process ---- */

static void write_audit(struct exposition *exposition, struct server *server)
{
	const struct audit_counts counts = audit_counts(server->audit);
	plain(exposition, EXPOSITION_COUNTER, "keystile_audit_lines_total", "Lines that the audit file took.", counts.written);
	plain(exposition, EXPOSITION_COUNTER, "keystile_audit_lost_total", "Lines that it did not take.", counts.lost);
	plain(exposition, EXPOSITION_COUNTER, "keystile_audit_refused_total",
	      "Requests and tunnels that went nowhere since their line could not be written (audit.required).", counts.refused);
	plain(exposition, EXPOSITION_GAUGE, "keystile_audit_failing", "Whether the last write failed.", counts.failing);
}

static void write_reloads(struct exposition *exposition, struct server *server, const struct snapshot *snapshot)
{
	struct reload reloads[RELOAD_KINDS];
	for (size_t i = 0; i < RELOAD_KINDS; i++)
		reloads[i] = reloads_get(&server->reloads, (enum reload_kind)i);
	family(exposition, EXPOSITION_COUNTER, "keystile_reloads_total", "Reloads that put something new to use, or could not.");
	for (size_t i = 0; i < RELOAD_KINDS; i++) {
		const char *what = reload_name((enum reload_kind)i);
		exposition_sample(exposition, (const struct exposition_label[]){{"what", what}, {"result", "success"}, {0}}, reloads[i].done);
		exposition_sample(exposition, (const struct exposition_label[]){{"what", what}, {"result", "failure"}, {0}}, reloads[i].failed);
	}
	const bool good[RELOAD_KINDS] = {[RELOAD_CONFIGURATION] = !reloads[RELOAD_CONFIGURATION].failed_at,
	                                 [RELOAD_SECRETS] = !snapshot_any_stale(snapshot)};
	family(exposition, EXPOSITION_GAUGE, "keystile_last_reload_successful",
	       "Whether what is in use is what the files and other sources have: 0 while one of them is refused or gone.");
	for (size_t i = 0; i < RELOAD_KINDS; i++)
		exposition_sample(exposition, (const struct exposition_label[]){{"what", reload_name((enum reload_kind)i)}, {0}}, good[i]);
	family(exposition, EXPOSITION_GAUGE, "keystile_loaded_timestamp_seconds", "When what is in use was loaded.");
	for (size_t i = 0; i < RELOAD_KINDS; i++)
		exposition_sample(exposition, (const struct exposition_label[]){{"what", reload_name((enum reload_kind)i)}, {0}},
		                  (uint64_t)reloads[i].loaded);
}

static void write_server(struct exposition *exposition, struct server *server)
{
	family(exposition, EXPOSITION_GAUGE, "keystile_build_info", "1, with the version as a label.");
	exposition_sample(exposition, (const struct exposition_label[]){{"version", PACKAGE_VERSION}, {0}}, 1);
	plain(exposition, EXPOSITION_GAUGE, "keystile_workers", "Threads that serve.", server->worker_count);
	plain(exposition, EXPOSITION_GAUGE, "keystile_draining", "Whether proxyd is stopping.", atomic_load(&server->draining));
	plain(exposition, EXPOSITION_GAUGE, "keystile_client_connections", "Connections of clients now.",
	      atomic_load(&server->connections));
	plain(exposition, EXPOSITION_GAUGE, "keystile_held_bytes", "Bytes of request bodies that are held to be signed now.",
	      atomic_load(&server->held));
}

void metrics_write(struct server *server, bool openmetrics, struct buffer *out)
{
	struct exposition exposition = {.out = out, .openmetrics = openmetrics};
	struct snapshot *snapshot = server_snapshot(server);
	write_server(&exposition, server);
	write_names(&exposition, server->tallies);
	write_ways(&exposition, server->tallies);
	write_reasons(&exposition, server->tallies, AUDIT_DENY, "keystile_refusals_total", "What was refused, by the audit's reason.");
	write_reasons(&exposition, server->tallies, AUDIT_FAIL, "keystile_failures_total", "What failed, by the audit's reason.");
	write_limits(&exposition, server, &snapshot->config->limits);
	write_counts(&exposition, server->tallies);
	write_secrets(&exposition, server);
	write_audit(&exposition, server);
	write_reloads(&exposition, server, snapshot);
	metrics_process(&exposition, server->reloads.started);
	exposition_end(&exposition);
	snapshot_unref(snapshot);
}
