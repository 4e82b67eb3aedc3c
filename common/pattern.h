/* Host patterns of the configuration and the index that finds the most specific one (SPEC §2 Hosts). Pure. */
#ifndef KEYSTILE_PATTERN_H
#define KEYSTILE_PATTERN_H

#include "authority.h"

enum pattern_kind {
	PATTERN_EXACT,    /* a name or an address literal */
	PATTERN_WILDCARD, /* *.host: any depth below, never the apex */
	PATTERN_CIDR,     /* addresses whose first `bits` are those of `host` */
};

struct pattern {
	enum pattern_kind kind;
	bool deny;         /* written with a leading "!" */
	uint8_t bits;      /* PATTERN_CIDR */
	uint16_t port;     /* 0: none written, which means 80 and 443 */
	struct host host;  /* of a wildcard: what stands behind "*." */
};

/* FAULT_USAGE says what is wrong and what a pattern looks like. A CIDR with host bits set is refused with the network
 * that was probably meant. */
bool pattern_parse(struct span text, struct pattern *pattern, struct fault *fault);

/* As written in a configuration, canonical; `out` needs PATTERN_TEXT bytes; returns the length. */
#define PATTERN_TEXT (AUTHORITY_TEXT + 8)
size_t pattern_format(const struct pattern *pattern, char *out);

bool pattern_matches(const struct pattern *pattern, const struct host *host, uint16_t port);

/* Above 0 where `a` is more specific than `b`: exact before wildcard and CIDR (longest first), then with a port before
 * without. 0 where they are equally specific. */
int pattern_compare(const struct pattern *a, const struct pattern *b);

/* An index over patterns. Look-ups cost one hash probe per label (or per distinct prefix length), whatever its size. */
struct pattern_index;

struct pattern_index *pattern_index_new(void);
void pattern_index_free(struct pattern_index *index); /* NULL is fine */

/* `value` (not NULL) is the caller's and comes back from the look-ups. Of equal patterns the one added last is found
 * first. `pattern` must outlive the index. */
void pattern_index_add(struct pattern_index *index, const struct pattern *pattern, void *value);

/* The value of the most specific pattern that matches; NULL where none does. */
void *pattern_index_find(const struct pattern_index *index, const struct host *host, uint16_t port);

/* Every match, the most specific first, until `visit` returns false. */
void pattern_index_visit(const struct pattern_index *index, const struct host *host, uint16_t port,
                         bool (*visit)(void *value, void *context), void *context);

#endif
