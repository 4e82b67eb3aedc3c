/* keystile.yaml as data: the whole of SPEC §2, parsed, checked and resolved, immutable once loaded.
 *
 * config_load() reads a file, collects every error in it, and returns a configuration only where there is none. All memory
 * hangs from the struct and goes with the last config_free(). Strings are NUL-terminated; an absent string is NULL, an
 * absent list has count 0. */
#ifndef KEYSTILE_CONFIG_H
#define KEYSTILE_CONFIG_H

#include <stdint.h>

#include "authority.h"
#include "fault.h"
#include "origin.h"
#include "pattern.h"
#include "quantity.h"
#include "rules.h"
#include "source.h"

/* A place in the file, both from 1, columns in characters. What a preset says has the place of what names it. */
struct mark {
	const char *file; /* owned by the configuration */
	unsigned line, column;
};

struct string_list {
	char **list;
	size_t count;
};

enum listener_kind { LISTENER_TCP, LISTENER_UNIX, LISTENER_TRANSPARENT };

struct config_listener {
	enum listener_kind kind;
	struct authority address; /* TCP and transparent: an address literal and a port */
	char *path;               /* unix */
	char *profile;            /* transparent */
	struct mark mark;
};

struct config_admin {
	bool on;
	struct config_listener listener;
	struct string_list hosts;
};

struct config_session {
	bool none;         /* session: none */
	struct source key; /* else */
	struct mark mark;
};

struct named_source {
	char *id; /* "secret" for `secret:` */
	struct source source;
	struct mark mark;
};

enum injection_kind {
	INJECT_HEADER,    /* header + value */
	INJECT_BASIC,     /* basic: USER */
	INJECT_QUERY,     /* query: NAME */
	INJECT_PATH,      /* path: TEMPLATE or list */
	INJECT_COOKIE,    /* cookie: NAME */
	INJECT_AWS_SIGV4,
	INJECT_OAUTH2,    /* a token that is minted (proxyd/minter.h) */
	INJECT_JWT,       /* the same */
};

struct injection {
	enum injection_kind kind;
	char *name;                 /* header (as written), query parameter, cookie; the user of basic */
	char *value;                /* header: the template, "Bearer {secret}"; basic, query and cookie: "{secret}" */
	struct string_list paths;   /* path: templates, each "/…{secret}…" of whole or partial segments */
	struct mark mark;
	/* The parameters of those that compute what they send are judged, and kept as text by key. */
	struct string_list parameter_names, parameter_values;
};

/* `env:` of a credential. */
struct config_env {
	struct string_list base_url, token; /* variable names */
	char *path;                         /* appended to the endpoint's URL; NULL: none */
	char *token_prefix;                 /* NULL: none */
	struct string_list set_names, set_values;
	struct string_list git; /* URL prefixes for insteadOf */
};

enum rotation_mode { ROTATION_OVERLAP, ROTATION_STRICT };
enum http2_mode { HTTP2_ON, HTTP2_OFF, HTTP2_TUNNEL };

struct config_credential {
	char *name;
	char *preset; /* NULL: none */
	struct mark mark;
	unsigned number; /* its place in config.credentials */
	struct origin upstream;
	struct pattern host; /* upstream's host and port as a pattern; an upstream on 443 also owns port 80 */
	struct named_source *secrets;
	size_t secret_count;
	struct injection *injections;
	size_t injection_count;
	struct rules rules;
	struct config_env env;
	struct string_list pass; /* field names the agent may send although an injection or the default removes them */
	uint64_t ttl;            /* ms; 0: none said */
	enum rotation_mode rotation;
	char *ca;                /* path of a PEM file; NULL: the system's roots */
	char *client_cert;       /* path; NULL: none */
	struct source client_key;
	struct mark client_mark; /* of `client:` */
	bool intercept;
	enum http2_mode http2;
	struct rate rate;
	bool scrub;
	bool encoded_slash;
	uint64_t response_idle; /* ms; 0: limits.response_idle */
	uint64_t body;          /* bytes; 0: limits.body; UINT64_MAX: none, whatever that says */
};

/* One entry of `hosts:` of a profile. */
struct config_host {
	struct pattern pattern;
	struct rules rules;
	bool intercept;
	enum http2_mode http2;
	bool encoded_slash;
	char *text; /* as written */
	struct mark mark;
};

/* Are its requests judged one by one, so that they must come by the proxy? */
static inline bool config_host_is_judged(const struct config_host *host)
{
	return host->rules.count > 0 || host->intercept;
}

/* A profile after inheritance: what it may reach, whole. */
struct config_profile {
	char *name;
	struct mark mark;
	unsigned number;
	struct config_host *hosts; /* the parents' first, without duplicates */
	size_t host_count;
	const struct config_credential **credentials; /* in the profile's order */
	size_t credential_count;
	uint32_t token_version; /* 1 where none is said */
	bool direct;            /* true where none is said */
	struct rate rate;
};

struct config_limits {
	uint64_t head, body, signed_body; /* bytes; body 0: none */
	uint64_t fields, connections, profile_connections, streams;
	uint64_t head_time, idle, body_idle, response_idle, connect, handshake, tunnel_idle; /* ms */
};

struct config_tls {
	char *ca_cert, *ca_key, *ca_out, *bundle_out, *advertise_ca; /* paths; NULL: not said */
	struct mark mark;
};

struct config_parent {
	bool on;
	struct origin proxy;
	bool socks; /* proxy: socks5h://, else http:// */
	struct source auth;
	struct pattern *except;
	size_t except_count;
	struct mark mark;
};

struct config_audit {
	char *file; /* path; "-" is standard output; NULL: none */
	bool required;
};

struct config {
	char *file, *folder;
	struct config_listener *listeners;
	size_t listener_count;
	struct authority advertise; /* what is said, or the first TCP listener's address; host.length 0: none */
	bool advertise_said;
	struct config_admin admin;
	unsigned workers; /* 0: as many as cores */
	char *vault_file; /* NULL: no vault */
	struct source vault_key;
	struct mark vault_mark;
	struct config_session session;
	struct config_credential *credentials;
	size_t credential_count;
	struct config_profile *profiles;
	size_t profile_count;
	struct config_limits limits;
	struct config_tls tls;
	struct config_parent parent;
	struct config_audit audit;
	char *state; /* path; NULL: not said */
	struct config_private *private; /* files and marks that the rest points into */
};

/* What is wrong with a file, each with its place: "keystile.yaml:7:3: unknown key `hots`; did you mean `hosts`?" */
struct config_messages {
	char **list; /* each one line, sorted by place */
	size_t count, capacity;
};

void config_messages_free(struct config_messages *messages);
/* Each a line of log_error() or log_warning(). */
void config_messages_tell(const struct config_messages *messages, void (*log)(const char *format, ...));

/* Where the configuration is: `given` (--config), $KEYSTILE_CONFIG, ./keystile.yaml, $XDG_CONFIG_HOME (or ~/.config)
 * /keystile/keystile.yaml, /etc/keystile/keystile.yaml. Returns a path that the caller frees, or NULL with a fault that
 * lists the places. `*found_here` is set where it was found only as ./keystile.yaml: exec: is refused in it. */
char *config_find(const char *given, bool *found_here, struct fault *fault);

/* Loads `path`. NULL where there is an error; `errors` then has all of them. `warnings` may be filled either way.
 * Both are the caller's, freed with config_messages_free(). */
struct config *config_load(const char *path, bool found_here, struct config_messages *errors,
                           struct config_messages *warnings);

/* The same from bytes, for tests and fuzzing: `path` only names them and gives the folder. */
struct config *config_parse(struct span text, const char *path, bool found_here, struct config_messages *errors,
                            struct config_messages *warnings);

/* One credential for each preset, of its name. NULL: one of them is none; `errors` (may be NULL) says why. */
struct config *config_presets(struct config_messages *errors);

/* Of what changes at a restart only (SPEC §11: listen, admin, workers, state), `fresh` gets what `running`, which must
 * outlive it, was started with; what differs is told in `messages`. False with a fault where the rest cannot be taken
 * without it. */
bool config_keep_running(struct config *fresh, const struct config *running, struct config_messages *messages, struct fault *fault);

/* Where the first command stands that is run for a secret (`exec:`); NULL: none is. */
const struct mark *config_command(const struct config *config);

const struct config_profile *config_profile(const struct config *config, struct span name);         /* or NULL */
const struct config_credential *config_credential(const struct config *config, struct span name); /* or NULL */

/* The injection of the credential whose token is minted (oauth2, jwt); NULL: none is. */
const struct injection *config_minting(const struct config_credential *credential);

/* What is said for a parameter of an injection that computes what it sends; NULL: nothing. */
const char *config_parameter(const struct injection *injection, const char *name);

/* Does the credential serve this host and port? An upstream on port 443 also owns port 80. */
bool config_owns(const struct config_credential *credential, const struct host *host, uint16_t port);

/* Is TLS ended at the proxy on the way to anything that this profile may reach (`intercept: true`)? */
bool config_intercepts(const struct config_profile *profile);
bool config_intercepts_any(const struct config *config); /* of any profile */

struct config *config_ref(struct config *config); /* one more reference; any thread */
void config_free(struct config *config);          /* gives one back; NULL is fine */

#endif
