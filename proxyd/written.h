/* Where a configuration has proxyd write once it serves. All else it only reads. */
#ifndef KEYSTILE_WRITTEN_H
#define KEYSTILE_WRITTEN_H

#include "config.h"

enum written_how {
	WRITTEN_APPENDED, /* a file that is made where it is absent */
	WRITTEN_REPLACED, /* files, by others that take their name */
	WRITTEN_REMOVED,  /* sockets, at the end */
};

struct written_place {
	char *path;       /* a folder; a device or pipe itself */
	char *file;       /* that is written there; NULL: others, or `path` itself */
	const char *key;  /* of the configuration, as a message names it */
	enum written_how how;
};

struct written {
	struct written_place *list;
	size_t count, capacity;
};

/* Fills `written`, which written_free() frees. */
void written_find(const struct config *config, struct written *written);
void written_free(struct written *written);

#endif
