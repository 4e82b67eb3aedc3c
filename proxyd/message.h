/* HTTP messages as every front and every upstream sees them (RFC 9110 §6), independent of the version on the wire. */
#ifndef KEYSTILE_MESSAGE_H
#define KEYSTILE_MESSAGE_H

#include <stdint.h>

#include "arena.h"
#include "authority.h"
#include "span.h"

struct field {
	struct span name, value; /* value without surrounding OWS */
	bool sensitive;          /* never to be indexed in HTTP/2 (RFC 7541 §6.2.3): it holds the secret, or came like that */
};

/* Field lines in the order in which they came. The list lives in an arena; the spans wherever their owner says. */
struct fields {
	struct field *list;
	size_t count, capacity;
};

void fields_add(struct fields *fields, struct arena *arena, struct span name, struct span value);
/* As `like` is, but for its value; and with name and value copied into the arena. */
void fields_add_like(struct fields *fields, struct arena *arena, const struct field *like, struct span value);
void fields_add_copy(struct fields *fields, struct arena *arena, const struct field *field);
const struct field *fields_find(const struct fields *fields, struct span name); /* the first by name, or NULL */
size_t fields_count(const struct fields *fields, struct span name);
void fields_remove(struct fields *fields, struct span name); /* every one of that name; order is kept */

/* Does a comma-separated field (all its lines) list `token`, ASCII case ignored (RFC 9110 §5.6.1)? */
bool fields_list_has(const struct fields *fields, struct span name, struct span token);

enum body_kind { BODY_NONE, BODY_LENGTH, BODY_CHUNKED, BODY_UNTIL_CLOSE /* responses only */ };

struct body_framing {
	enum body_kind kind;
	uint64_t length; /* BODY_LENGTH */
};

struct request {
	struct span method;
	struct span target;    /* the request-target as it came, or, on its way up, as it goes out */
	unsigned minor;        /* HTTP/1.minor of the client; 1 for h2 */
	bool h2;               /* came by HTTP/2 */
	bool upgrade;          /* on its way up: asks for the protocols in its Upgrade (protocols.h) */
	struct fields fields;
	struct body_framing body;
};

struct response {
	unsigned status;       /* 100 to 599 */
	unsigned minor;        /* of the upstream */
	struct span reason;    /* reason phrase, may be empty */
	struct fields fields;
	struct body_framing body;
};

/* The value of Host: host, host:port or [v6]:port; the scheme's own port is not written (RFC 9110 §7.2). */
struct span host_field(const struct host *host, uint16_t port, bool tls, struct arena *arena);

/* Methods that may be repeated (RFC 9110 §9.2.2). */
bool method_is_idempotent(struct span method);

/* RFC 9110 §5.6.2 token; not empty. */
bool text_is_token(struct span text);

#endif
