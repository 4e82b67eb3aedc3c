/* Signers: what is signed of a request that inject.h built, and what its body has to do with it (SPEC §2 Signers). Pure, the
 * time is passed. */
#ifndef KEYSTILE_SIGN_H
#define KEYSTILE_SIGN_H

#include "problem.h"
#include "sigv4.h"

/* aws_sigv4 of one credential. The secrets are in guarded memory, `session` is empty where there is none. */
struct signer {
	struct span id, key, session;
	struct span region, service;
};

enum sign_body {
	SIGN_AS_SAID, /* `payload` is what is signed, whatever the body is */
	SIGN_CHECKED, /* the same, but it is the body's hash: the body must have it */
	SIGN_HELD,    /* the hash is to be made: the body is held until it is whole, and then signed */
	SIGN_CHUNKS,  /* as said; the body is in signed chunks (sigv4_chunks.h) */
};

struct sign_plan {
	enum sign_body body;
	struct span payload; /* not for SIGN_HELD */
	bool told;           /* the server is told of it in X-Amz-Content-Sha256 */
	bool trailers;       /* SIGN_CHUNKS: signed trailers follow the chunks */
};

/* By the agent's X-Amz-Content-Sha256, or without it. `request` is as the agent sent it, and outlives the plan. False with a
 * problem: 400 where the field can be read in two ways or is wrong, 501 for a form that is not known. */
bool sign_make_plan(const struct signer *signer, const struct request *request, struct arena *arena,
                    struct sign_plan *plan, struct problem *problem);

/* What a body in chunks goes on from. */
struct signed_head {
	struct sigv4_scope scope;
	unsigned char key[SHA256_BYTES]; /* derived: to be wiped */
	char signature[SHA256_HEX + 1];
};

/* Adds X-Amz-Date, X-Amz-Security-Token, X-Amz-Content-Sha256 and Authorization to `out`, which is as it will be sent and
 * has none of them. Signed are Host, Content-Type, Content-MD5 and every X-Amz-… field. */
void sign_request(const struct signer *signer, const struct sign_plan *plan, time_t now, struct sigv4_cache *cache,
                  struct arena *arena, struct request *out, struct signed_head *head);

/* Names of fields and parameters by which an agent signs: its own go. So do parameters that would be fields which are judged.
 * NULL behind the last. */
#define SIGN_FIELD_NAMES 5
#define SIGN_QUERY_NAMES 12
extern const char *const sign_field_names[SIGN_FIELD_NAMES + 1], *const sign_query_names[SIGN_QUERY_NAMES + 1];

/* Of "AWS4-HMAC-SHA256 Credential=ID/DAY/…, …" the ID, and of the Credential alone; data NULL where it is none. */
struct span sign_shown_id(struct span authorization);
struct span sign_credential_id(struct span credential);

#endif
