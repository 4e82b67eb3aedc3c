#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "utf8.h"

#define LINE_MAX_BYTES 2048

static const char *log_program = "keystile";
static enum log_level log_limit = LOG_INFO;
static enum log_format log_form = LOG_TEXT;

void log_open(const char *program, enum log_level level)
{
	log_program = program;
	log_limit = level;
}

void log_set_format(enum log_format format)
{
	log_form = format;
}

bool log_format_of(const char *name, enum log_format *format)
{
	*format = strcmp(name, "json") == 0 ? LOG_JSON : LOG_TEXT;
	return *format == LOG_JSON || strcmp(name, "text") == 0;
}

static int escape(char *out, const char *text, int room)
{
	int used = 0;
	for (struct span rest = span_of(text); rest.length > 0 && used < room - 4;) {
		int control = utf8_control(rest);
		if (control >= 0)
			used += snprintf(out + used, (size_t)(room - used), "\\x%02x", (unsigned)control);
		else
			out[used++] = rest.data[0];
		rest = span_from(rest, control >= 0x80 ? 2 : 1);
	}
	return used;
}

/* One write per line, so that lines of several threads and processes do not mix. */
static void write_whole(const char *line, size_t length)
{
	if (write(STDERR_FILENO, line, length) < 0) {
		/* There is nowhere left to say it. */
	}
}

static void write_text(enum log_level level, const char *text)
{
	static const char *const names[] = {"error: ", "warning: ", "", ""};
	char line[LINE_MAX_BYTES + 128];
	int length = snprintf(line, sizeof line, "%s: %s", log_program, names[level]);
	length += escape(line + length, text, (int)sizeof line - length - 1);
	line[length++] = '\n';
	write_whole(line, (size_t)length);
}

static void write_json(enum log_level level, const char *text)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};
	AUTO_BUFFER struct buffer line = {0};
	struct timespec now;
	struct tm date;
	char stamp[32] = "";
	clock_gettime(CLOCK_REALTIME, &now);
	if (gmtime_r(&now.tv_sec, &date))
		strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &date);
	buffer_format(&line, "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"program\":\"%s\",\"message\":\"", stamp,
	              (int)(now.tv_nsec / 1000000), names[level], log_program);
	buffer_json(&line, span_of(text));
	buffer_string(&line, "\"}\n");
	write_whole(line.data, line.length);
}

__attribute__((format(printf, 2, 0))) static void write_line(enum log_level level, const char *format,
                                                             va_list arguments)
{
	if (level > log_limit)
		return;
	int error = errno;
	char text[LINE_MAX_BYTES];
	vsnprintf(text, sizeof text, format, arguments);
	(log_form == LOG_JSON ? write_json : write_text)(level, text);
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
