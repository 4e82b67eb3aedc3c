/* The program's own log, on standard error: one line a message, control characters escaped.
 *
 * Never given a secret, a token, or bytes of a request that could hold one. Safe from every thread. */
#ifndef KEYSTILE_LOG_H
#define KEYSTILE_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

/* `program` stands in front of every line; messages above `level` are dropped. Call once, before any thread. */
void log_open(const char *program, enum log_level level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
