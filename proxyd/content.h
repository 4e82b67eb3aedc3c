/* What stands in a file, so that a later look can tell whether that has changed (SPEC §11: compared by content). */
#ifndef KEYSTILE_CONTENT_H
#define KEYSTILE_CONTENT_H

#include "fault.h"
#include "sha256.h"

/* The hash of a file's bytes; text, so that two can be compared by strcmp(3). "" where it could not be read. */
struct content {
	char hash[SHA256_HEX + 1];
};

/* Reads `path`, of `limit` bytes at most. False with file_read()'s fault. */
bool content_read(const char *path, size_t limit, struct content *content, struct fault *fault);

static inline bool content_same(const struct content *a, const struct content *b)
{
	return a->hash[0] && !strcmp(a->hash, b->hash);
}

#endif
