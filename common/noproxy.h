/* NO_PROXY of a profile: its allowed hosts, minus all that could lead some client around the proxy to a guarded host (SPEC
 * §6). It comes from the configuration alone. Pure.
 *
 * What every client that honours the variable understands alike is all that is written: `h` for a host, `.h` for the hosts
 * below it, `h:port` for a host at a port of its own, 127.0.0.1 and an IPv4 address of the proxy. In lower case, A-labels,
 * no blanks, no empty entry. */
#ifndef KEYSTILE_NOPROXY_H
#define KEYSTILE_NOPROXY_H

#include "buffer.h"
#include "noproxy_guard.h"

/* The most bytes of `NAME=value` that Linux passes to a program, without the NUL (MAX_ARG_STRLEN); what the longest name that
 * carries the list takes of it, with its "="; and what is left. */
#define NOPROXY_VARIABLE 131071u
#define NOPROXY_NAME sizeof "GLOBAL_AGENT_NO_PROXY"
#define NOPROXY_LIMIT (NOPROXY_VARIABLE - NOPROXY_NAME)

/* Why an entry is in the list, or not. */
enum noproxy_reason {
	NOPROXY_LISTED,
	NOPROXY_GUARDED,  /* some client would reach a guarded host by it */
	NOPROXY_JUDGED,   /* it has rules or `intercept`, so its requests must come by */
	NOPROXY_ADDRESS,  /* addresses: clients that resolve names would be led around by them */
	NOPROXY_PORTS,    /* a wildcard with a port: no client reads it */
	NOPROXY_INDIRECT, /* `direct: false`: the sandbox has no route of its own */
	NOPROXY_NO_ROOM,  /* the variable is full */
};

struct noproxy_entry {
	struct span text;               /* as it stands in the list; empty where no client could read it */
	const struct config_host *host; /* NULL: localhost, 127.0.0.1 or `advertise` */
	enum noproxy_reason reason;
	const struct noproxy_guarded *against; /* NOPROXY_GUARDED */
	bool repeated;                         /* listed by an entry before it */
};

struct noproxy {
	struct noproxy_entry *entries; /* local ones first, then the profile's allowed hosts in their order */
	size_t count;
	struct noproxy_private *private;
};

/* `guard` is that of the configuration, `advertise` the proxy as its clients reach it (host.length 0: none), `limit` the most
 * bytes that the list may have. Guard and profile must outlive the list. */
struct noproxy *noproxy_new(const struct noproxy_guard *guard, const struct config_profile *profile,
                            const struct authority *advertise, size_t limit);
void noproxy_free(struct noproxy *list); /* NULL is fine */

/* Appends the list as the value of NO_PROXY: empty where nothing bypasses the proxy. */
void noproxy_write(const struct noproxy *list, struct buffer *out);

/* Appends it as Java's http.nonProxyHosts reads it, `a|*.b`, in at most `limit` bytes; returns how many entries were left out
 * for want of room. Ports cannot be told there. */
size_t noproxy_write_java(const struct noproxy *list, size_t limit, struct buffer *out);

/* The listed entry by which a client that honours the variable reaches this host by itself, the most specific one: the host
 * (at that port), or a suffix of whole labels. NULL: there is none, so it should have come by the proxy. */
const struct noproxy_entry *noproxy_find(const struct noproxy *list, const struct host *host, uint16_t port);

/* Calls `visit` for each listed entry that some client may take for this host at this port, until it returns false: those in
 * whose letters the name ends, whatever stands in front, and those of loopback and the proxy. */
void noproxy_visit(const struct noproxy *list, const struct host *host, uint16_t port,
                   bool (*visit)(const struct noproxy_entry *entry, void *context), void *context);

#endif
