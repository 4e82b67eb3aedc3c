/* A gzip body (RFC 1952) read along, for the search alone: its bytes go on as they came. Pure. */
#ifndef KEYSTILE_SCRUB_GUNZIP_H
#define KEYSTILE_SCRUB_GUNZIP_H

#include "needle.h"

struct gunzip;

struct gunzip *gunzip_new(const struct needle_set *needles); /* with `needles`, which must outlive it */
void gunzip_free(struct gunzip *gunzip); /* zeroes; NULL is fine */

enum gunzip_result {
	GUNZIP_CLEAN,
	GUNZIP_UNDECIDED, /* what this inflates to ends with what could be the beginning of a find */
	GUNZIP_FIND,
	GUNZIP_IN_HEAD, /* a member's head is not whole yet: its name and comment are text, too */
	GUNZIP_UNREADABLE, /* no gzip, or something else behind its end */
};

/* The next bytes of the body. Several members behind each other are one body (RFC 1952 §2.2); zeros may fill up the end. */
enum gunzip_result gunzip_take(struct gunzip *gunzip, struct span bytes);

#endif
