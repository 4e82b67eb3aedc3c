/* Hosts: what has no effect, or not the one that was meant. */
#include "config_internal.h"

/* An exact host that a credential serves: SPEC §2 has it refused, whatever the entry says. */
static const struct config_credential *served_by(const struct pattern_index *index, const struct pattern *pattern)
{
	if (pattern->kind != PATTERN_EXACT || pattern->deny)
		return NULL;
	return pattern_index_find(index, &pattern->host, pattern->port ? pattern->port : 443);
}

static void check_profile(struct reading *reading, const struct pattern_index *index, const struct own_profile *own)
{
	for (size_t i = 0; i < own->host_count; i++) {
		const struct config_host *host = &own->hosts[i];
		const struct config_credential *credential = served_by(index, &host->pattern);
		if (credential && host->http2 == HTTP2_TUNNEL)
			config_error_at(reading, host->mark,
			                "%s is the host of credential \"%s\", and http2: tunnel would carry requests past it",
			                host->text, credential->name);
		else if (credential)
			config_warning_at(reading, host->mark,
			                  "%s is the host of credential \"%s\", so this entry has no effect: only a profile with that "
			                  "credential reaches it", host->text, credential->name);
		else if (host->rules.count && !host->intercept && host->pattern.port != 80)
			config_warning_at(reading, host->mark,
			                  "rules for %s cannot be judged inside a tunnel without intercept: true", host->text);
	}
}

void config_check_hosts(struct reading *reading)
{
	const struct config *config = reading->config;
	struct pattern_index *index = pattern_index_new();
	for (size_t i = 0; i < config->credential_count; i++)
		if (config->credentials[i].host.host.length)
			pattern_index_add(index, &config->credentials[i].host, &config->credentials[i]);
	for (size_t i = 0; i < config->profile_count; i++)
		check_profile(reading, index, &config->private->own[i]);
	pattern_index_free(index);
}
