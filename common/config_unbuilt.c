/* What a file may say that this build does not do. What a later version does loses its row here. */
#include "config_internal.h"
#include "memory.h"

static void tell(struct report *report, struct reading *reading, struct mark mark, const char *what)
{
	config_report_add(reading, report, mark.line, mark.column,
	                  arena_format(reading->nodes, "%s is not built yet in this version; take it out", what));
}

struct unbuilt {
	const char *what;
	bool (*asked)(const void *part);
};

#define ASKS(name, type, expression)                                                                                   \
	static bool name(const void *part)                                                                             \
	{                                                                                                              \
		const type *of = part;                                                                                 \
		return expression;                                                                                     \
	}

static bool injects(const struct config_credential *credential, enum injection_kind kind)
{
	for (size_t i = 0; i < credential->injection_count; i++)
		if (credential->injections[i].kind == kind)
			return true;
	return false;
}

ASKS(transparent, struct config_listener, of->kind == LISTENER_TRANSPARENT)
ASKS(tls, struct config, of->tls.mark.line)
ASKS(parent, struct config, of->parent.on)
ASKS(sigv4, struct config_credential, injects(of, INJECT_AWS_SIGV4))
ASKS(oauth2, struct config_credential, injects(of, INJECT_OAUTH2))
ASKS(jwt, struct config_credential, injects(of, INJECT_JWT))
ASKS(client, struct config_credential, of->client_cert)
ASKS(intercept, struct config_credential, of->intercept)
ASKS(rate, struct config_credential, of->rate.count)
ASKS(host_intercept, struct config_host, of->intercept)
ASKS(host_tunnel, struct config_host, of->http2 == HTTP2_TUNNEL)
ASKS(profile_rate, struct config_profile, of->rate.count)

static const struct unbuilt of_config[] = {{"tls:", tls}, {"parent:", parent}, {NULL, NULL}},
                            of_listener[] = {{"a transparent listener", transparent}, {NULL, NULL}},
                            of_credential[] = {{"aws_sigv4", sigv4}, {"oauth2", oauth2}, {"jwt", jwt},
                                               {"client:", client}, {"intercept: true", intercept}, {"rate:", rate},
                                               {NULL, NULL}},
                            of_host[] = {{"intercept: true", host_intercept}, {"http2: tunnel", host_tunnel}, {NULL, NULL}},
                            of_profile[] = {{"rate:", profile_rate}, {NULL, NULL}};

static void look(struct report *report, struct reading *reading, const struct unbuilt *rows, const void *part,
                 struct mark mark)
{
	for (; rows->what; rows++)
		if (rows->asked(part))
			tell(report, reading, mark, rows->what);
}

void config_unbuilt(const struct config *config, struct config_messages *messages)
{
	struct arena nodes = {0};
	struct reading reading = {.nodes = &nodes};
	struct report report = {0};
	look(&report, &reading, of_config, config, config->tls.mark.line ? config->tls.mark : config->parent.mark);
	for (size_t i = 0; i < config->listener_count; i++)
		look(&report, &reading, of_listener, &config->listeners[i], config->listeners[i].mark);
	for (size_t i = 0; i < config->credential_count; i++)
		look(&report, &reading, of_credential, &config->credentials[i], config->credentials[i].mark);
	for (size_t i = 0; i < config->profile_count; i++) {
		const struct own_profile *own = &config->private->own[i];
		look(&report, &reading, of_profile, &config->profiles[i], config->profiles[i].mark);
		for (size_t k = 0; k < own->host_count; k++)
			look(&report, &reading, of_host, &own->hosts[k], own->hosts[k].mark);
	}
	config_report_write(&report, config->file, messages);
	arena_free(&nodes);
}
