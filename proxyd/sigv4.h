/* AWS Signature Version 4 (docs.aws.amazon.com, "Create a signed AWS API request"): what is signed, and by which key. Pure,
 * the time is passed.
 *
 * All that is given to sigv4_sign() is signed, as it is sent: who calls chooses the fields. Derived keys are as good as the
 * secret for a day, so they are wiped. */
#ifndef KEYSTILE_SIGV4_H
#define KEYSTILE_SIGV4_H

#include <time.h>

#include "arena.h"
#include "message.h"
#include "sha256.h"

#define SIGV4_TIME 16 /* characters of "20150830T123600Z" */
#define SIGV4_DAY 8   /* of these, the day */

/* What a derived key is good for. */
struct sigv4_scope {
	char time[SIGV4_TIME + 1];
	struct span region, service;
};

void sigv4_time(time_t now, char out[SIGV4_TIME + 1]); /* in UTC */

/* S3 knows a path by what it stands for: its escapes are not escaped again, and no segment of it goes. */
bool sigv4_is_s3(struct span service);

/* Derived keys, the last few, in guarded memory: one takes four HMACs to make. For one thread. */
struct sigv4_cache;

struct sigv4_cache *sigv4_cache_new(void);
void sigv4_cache_free(struct sigv4_cache *cache); /* zeroes; NULL is fine */

/* The key for the scope's day, region and service, out of the cache or into it; NULL: there is none. */
void sigv4_derive(struct sigv4_cache *cache, struct span secret, const struct sigv4_scope *scope,
                  unsigned char key[SHA256_BYTES]);

struct sigv4_request {
	struct span method;
	struct span target;          /* origin-form, as it is sent */
	const struct fields *fields; /* Host and X-Amz-Date among them; lines of one name in their order */
	struct span payload;         /* the body's hash in hex, or a word such as UNSIGNED-PAYLOAD */
};

/* The signature in hex. `arena` keeps texts with all of the fields in them: its owner wipes it. */
void sigv4_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
                const unsigned char key[SHA256_BYTES], struct arena *arena, char signature[SHA256_HEX + 1]);

/* "AWS4-HMAC-SHA256 Credential=ID/…, SignedHeaders=…, Signature=…", in `arena`. */
struct span sigv4_authorization(const struct sigv4_request *request, const struct sigv4_scope *scope, struct span id,
                                const char *signature, struct arena *arena);

/* What is signed, step by step; in `arena`. */
struct span sigv4_canonical(const struct sigv4_request *request, const struct sigv4_scope *scope, struct arena *arena);
struct span sigv4_scope_text(const struct sigv4_scope *scope, struct arena *arena); /* "20150830/REGION/SERVICE/aws4_request" */

#endif
