#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static const char *log_program = "keystile";
static enum log_level log_limit = LOG_INFO;

void log_open(const char *program, enum log_level level)
{
	log_program = program;
	log_limit = level;
}

static int escape(char *out, const char *text, int room)
{
	int used = 0;
	for (; *text && used < room - 4; text++) {
		unsigned char c = (unsigned char)*text;
		if (c < 0x20 || c == 0x7f)
			used += snprintf(out + used, (size_t)(room - used), "\\x%02x", c);
		else
			out[used++] = (char)c;
	}
	return used;
}

/* One write per line, so that lines of several threads and processes do not mix. */
__attribute__((format(printf, 2, 0))) static void write_line(enum log_level level, const char *format,
                                                             va_list arguments)
{
	static const char *const names[] = {"error: ", "warning: ", "", ""};
	if (level > log_limit)
		return;
	int error = errno;
	char text[LINE_MAX_BYTES], line[LINE_MAX_BYTES + 128];
	vsnprintf(text, sizeof text, format, arguments);
	int length = snprintf(line, sizeof line, "%s: %s", log_program, names[level]);
	length += escape(line + length, text, (int)sizeof line - length - 1);
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, (size_t)length) < 0) {
		/* There is nowhere left to say it. */
	}
	errno = error;
}

#define LOG_FUNCTION(name, level)                                                                                      \
	void name(const char *format, ...)                                                                             \
	{                                                                                                              \
		va_list arguments;                                                                                     \
		va_start(arguments, format);                                                                           \
		write_line(level, format, arguments);                                                                  \
		va_end(arguments);                                                                                     \
	}

LOG_FUNCTION(log_error, LOG_ERROR)
LOG_FUNCTION(log_warning, LOG_WARNING)
LOG_FUNCTION(log_info, LOG_INFO)
LOG_FUNCTION(log_debug, LOG_DEBUG)
