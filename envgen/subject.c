#include "subject.h"

#include "buffer.h"
#include "log.h"
#include "memory.h"
#include "trust.h"

/* Warnings (a secret that is not there yet) are proxyd's and creds' to tell. */
static struct config *load_config(const char *given, struct fault *fault)
{
	bool found_here = false;
	struct config_messages errors = {0}, warnings = {0};
	AUTO_FREE char *path = config_find(given, &found_here, fault);
	if (!path)
		return NULL;
	struct config *config = config_load(path, found_here, &errors, &warnings);
	config_messages_tell(&errors, log_error);
	if (!config)
		fault->code = FAULT_BROKEN;
	config_messages_free(&errors);
	config_messages_free(&warnings);
	return config;
}

static const struct config_profile *pick_profile(const struct config *config, const char *name, struct fault *fault)
{
	const struct config_profile *found = name ? config_profile(config, span_of(name)) : NULL;
	if (!name && config->profile_count == 1)
		found = config->profiles;
	if (found)
		return found;
	AUTO_BUFFER struct buffer names = {0};
	for (size_t i = 0; i < config->profile_count; i++)
		buffer_format(&names, "%s%s", i ? ", " : "", config->profiles[i].name);
	if (config->profile_count == 0)
		fault_set(fault, FAULT_USAGE, "%s has no profile; write one under `profiles:`", config->file);
	else if (name)
		fault_set(fault, FAULT_USAGE, "--profile %s: %s has no such profile; it has: %s", name, config->file, names.data);
	else
		fault_set(fault, FAULT_USAGE, "%s has several profiles; choose one with --profile: %s", config->file, names.data);
	return NULL;
}

static bool pick_advertise(const struct config *config, const char *given, struct authority *advertise,
                           struct fault *fault)
{
	*advertise = config->advertise;
	if (given && strchr(given, '/'))
		return fault_set(fault, FAULT_USAGE, "--advertise %s: write HOST:PORT, without scheme and path", given);
	if (given && !authority_parse(span_of(given), advertise, fault))
		return fault_wrap(fault, "--advertise %s", given);
	if (given && !advertise->port)
		return fault_set(fault, FAULT_USAGE, "--advertise %s: the port is missing; write HOST:PORT", given);
	if (advertise->host.length == 0)
		return fault_set(fault, FAULT_USAGE, "%s: proxyd listens on no TCP port, so nobody knows where the program "
		                 "reaches it; say so with `advertise: HOST:PORT` there, or --advertise HOST:PORT", config->file);
	if (host_is_unspecified(&advertise->host))
		return fault_set(fault, FAULT_USAGE, "%s: %s is an address to listen on, not one to connect to; say where the "
		                 "program reaches proxyd: `advertise: HOST:PORT` there, or --advertise HOST:PORT",
		                 given ? "--advertise" : config->file, advertise->host.name);
	return true;
}

bool subject_load(const struct options *options, unsigned parts, struct subject *subject, struct fault *fault)
{
	struct environment_request *request = &subject->request;
	struct config *config = subject->config = load_config(options->config, fault);
	request->config = config;
	if (!config ||
	    ((parts & SUBJECT_PROFILE) && !(request->profile = pick_profile(config, options->profile, fault))) ||
	    ((parts & SUBJECT_ADVERTISE) && !pick_advertise(config, options->advertise, &request->advertise, fault)))
		return false;
	trust_for_clients(config, &request->trust);
	if (!(parts & SUBJECT_KEY) || config->session.none)
		return true;
	request->key = &subject->key;
	return token_key_load(&config->session.key, &subject->key, fault);
}

void subject_free(struct subject *subject)
{
	explicit_bzero(&subject->key, sizeof subject->key);
	trust_free(&subject->request.trust);
	config_free(subject->config);
}
