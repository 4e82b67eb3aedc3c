/* The program's own log, on standard error: one line a message, control characters escaped; as text, "proxyd: warning: …", or as
 * a JSON object with the members time (RFC 3339, UTC, with milliseconds), level (error, warning, info, debug), program and message.
 *
 * Never given a secret, a token, or bytes of a request that could hold one. Safe from every thread. */
#ifndef KEYSTILE_LOG_H
#define KEYSTILE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* `program` stands in front of every line; messages above `level` are dropped. Call once, before any thread. */
void log_open(const char *program, enum log_level level);

/* LOG_TEXT until then. Before any thread. */
void log_set_format(enum log_format format);
/* "text" or "json". False for any other name. */
bool log_format_of(const char *name, enum log_format *format);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
