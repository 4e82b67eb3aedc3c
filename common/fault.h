/* Errors as values with context.
 *
 * A function that can fail returns `bool` (or a pointer) and takes a `struct fault *` last. On failure it has called
 * fault_set() once; a caller that knows more adds it in front with fault_wrap(): "vault secrets.vault: generation 3 is
 * older than 5, the last one seen". Whoever can act on the fault, or tell the user, ends the chain. `fault` may be NULL
 * where only success matters. No text of a fault ever holds a secret. */
#ifndef KEYSTILE_FAULT_H
#define KEYSTILE_FAULT_H

#include <stdbool.h>

enum fault_code {
	FAULT_NONE,
	FAULT_USAGE,   /* the caller's words are wrong: command line, configuration, authority */
	FAULT_MISSING, /* what was named is not there (yet) */
	FAULT_DENIED,  /* it is there, and may not be read, written or reached */
	FAULT_BROKEN,  /* it is there, and its content is not what it should be */
	FAULT_BUSY,    /* somebody else holds it */
	FAULT_IO,      /* the system said no: disk full, too many files */
	FAULT_TIMEOUT,
};

struct fault {
	enum fault_code code;
	char text[1000]; /* one line, no trailing newline */
};

#define FAULT_INIT {.code = FAULT_NONE}

/* Sets code and text. Returns false, so that `return fault_set(...)` reads well. */
bool fault_set(struct fault *fault, enum fault_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Same, with ": " and strerror(errno) behind the text; the code follows from errno (ENOENT → FAULT_MISSING, EACCES and
 * EPERM → FAULT_DENIED, EAGAIN and EADDRINUSE → FAULT_BUSY, else FAULT_IO). */
bool fault_errno(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts context and ": " in front of the text; the code stays. Returns false. */
bool fault_wrap(struct fault *fault, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
