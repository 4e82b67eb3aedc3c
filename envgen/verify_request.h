/* What a request at the proxy's address is, read as proxyd reads it: by its target's form (RFC 9112 §3.2), and with the
 * profile's token or without (SPEC §3, §9). Pure. */
#ifndef KEYSTILE_VERIFY_REQUEST_H
#define KEYSTILE_VERIFY_REQUEST_H

#include "span.h"
#include "verify.h"

struct verify_request {
	const struct target *target; /* whom it asks for; NULL: none of the targets */
	enum seen_way way;           /* 0: it is no request */
	bool stays;                  /* HTTP lets the connection stay behind a refusal: nothing but the next request can follow */
};

/* `head` is a request's head with the empty line behind it, or what there is of one. The token is looked for where proxyd
 * looks: in every Proxy-Authorization, as the password of Basic with any user (or its user where there is no password),
 * or as Bearer. Where `targets` has none (`session: none`) nobody is asked for it, nor is a request to the proxy's own
 * address, which is one to an endpoint. */
void verify_request_read(const struct targets *targets, struct span head, struct verify_request *request);

#endif
