#include "audit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "memory.h"
#include "text.h"
#include "utf8.h"

#define GATHER (32 * 1024)
#define GATHER_TIME 10 /* ms */
#define FIELD_MAX 2048 /* bytes of one field, before JSON */
#define FIELDS 12                                      /* strings and spans of a record */
#define LINE_MAX_BYTES (FIELDS * FIELD_MAX * 6 + 1024) /* each byte as \u00xx, and all that is not a field */
#define STALL_MS 1000                                  /* how long a full pipe may hold a worker */

enum { ON = 1, REQUIRED = 2 };

struct audit {
	atomic_uint use; /* both in one word: who sees `required` of a change sees `on` of the same one */
	pthread_mutex_t lock; /* one write at a time, so that a pipe gets whole lines too; it guards what follows */
	char *path;           /* NULL: none */
	int fd;
	bool torn;            /* a line was cut by a failed write: the next one starts a new line */
	bool failing;         /* said once, until a write succeeds again */
	uint64_t lost;        /* lines, since it fails */
	uint64_t written, lost_ever; /* lines, since the start */
	atomic_ullong refused;
};

struct audit_writer {
	struct audit *audit;
	struct loop *loop;
	struct loop_timer flush;
	void (*note)(void *context, const struct audit_record *record); /* NULL: nobody listens */
	void *context;
	size_t length; /* of what waits in `lines` */
	size_t waiting; /* lines of it */
	time_t second; /* that `stamp` shows */
	char stamp[sizeof "2026-01-01T00:00:00.000Z"];
	char base[10]; /* of ids: random, this writer's own */
	uint64_t next_id;
	char lines[GATHER + LINE_MAX_BYTES];
};

static unsigned use_of(const char *path, bool required)
{
	return (path ? ON : 0) | (required ? REQUIRED : 0);
}

/* Does not wait: a pipe has a reader already, or is no file for us. */
static int open_file(const char *path, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
	                  : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	if (fd < 0 && errno == ENXIO) {
		fault_set(fault, FAULT_IO, "audit file %s is a pipe that nobody reads, or a socket; start what reads it first, or name "
		                           "another file in `audit:`", path);
	} else if (fd < 0) {
		fault_errno(&why, "audit file %s", standard ? "stdout" : path);
		fault_set(fault, why.code, "%s; let proxyd write there, or name another file in `audit:`", why.text);
	}
	return fd;
}

struct audit *audit_open(const char *path, bool required, struct fault *fault)
{
	int fd = path ? open_file(path, fault) : -1;
	if (path && fd < 0)
		return NULL;
	struct audit *audit = memory_alloc(sizeof *audit);
	*audit = (struct audit){.use = use_of(path, required), .path = memory_string(path), .fd = fd};
	pthread_mutex_init(&audit->lock, NULL);
	return audit;
}

/* Puts a file (-1: none) in the place of what was open; takes both over. */
static void put_instead(struct audit *audit, char *path, int fd)
{
	pthread_mutex_lock(&audit->lock);
	int old = audit->fd;
	free(audit->path);
	audit->path = path;
	audit->fd = fd;
	audit->torn = audit->torn && fd >= 0 && lseek(fd, 0, SEEK_END) > 0;
	if (fd < 0) { /* no write comes that would end it */
		audit->failing = false;
		audit->lost = 0;
	}
	pthread_mutex_unlock(&audit->lock);
	if (old >= 0)
		close(old);
}

/* Only who calls this changes the path: it can be read without the lock. */
bool audit_reopen(struct audit *audit, struct fault *fault)
{
	int fd = audit->path ? open_file(audit->path, fault) : -1;
	if (fd >= 0)
		put_instead(audit, memory_string(audit->path), fd);
	return fd >= 0 || !audit->path;
}

bool audit_prepare(const struct audit *audit, const char *path, bool required, struct audit_change *change, struct fault *fault)
{
	*change = (struct audit_change){.fd = -1, .same = text_same(path, audit->path), .required = required};
	if (path && !change->same && (change->fd = open_file(path, fault)) < 0)
		return false;
	change->path = memory_string(path);
	return true;
}

void audit_commit(struct audit *audit, struct audit_change *change)
{
	unsigned use = use_of(change->path, change->required);
	if (change->same)
		free(change->path);
	else
		put_instead(audit, change->path, change->fd);
	atomic_store(&audit->use, use);
}

void audit_abandon(struct audit_change *change)
{
	if (change->fd >= 0)
		close(change->fd);
	free(change->path);
}

void audit_close(struct audit *audit)
{
	if (!audit)
		return;
	if (audit->fd >= 0)
		close(audit->fd);
	pthread_mutex_destroy(&audit->lock);
	free(audit->path);
	free(audit);
}

bool audit_required(const struct audit *audit)
{
	return audit->use & REQUIRED;
}

/* Standard output may be a pipe that somebody made non-blocking: waits for its reader, but not for long. */
static bool write_all(int fd, struct span *rest)
{
	while (rest->length > 0) {
		ssize_t count = write(fd, rest->data, rest->length);
		struct pollfd room = {.fd = fd, .events = POLLOUT};
		if (count >= 0)
			*rest = span_from(*rest, (size_t)count);
		else if (errno != EINTR && (errno != EAGAIN || poll(&room, 1, STALL_MS) <= 0))
			return false;
	}
	return true;
}

static uint64_t count_lines(struct span rest)
{
	uint64_t count = 0;
	while (rest.data) {
		span_split(&rest, '\n');
		count++;
	}
	return count - 1;
}

static void note_failure(struct audit *audit, struct span written, uint64_t lost)
{
	if (!audit->failing)
		log_error("audit file %s: %s; lines are lost until it can be written again", audit->path, strerror(errno));
	audit->failing = true;
	audit->lost += lost;
	audit->lost_ever += lost;
	if (written.length > 0)
		audit->torn = !span_ends(written, SPAN("\n"));
}

static void note_success(struct audit *audit)
{
	if (audit->failing)
		log_warning("audit file %s: written again; %llu lines were lost", audit->path,
		            (unsigned long long)audit->lost);
	audit->failing = false;
	audit->lost = 0;
}

static bool write_lines(struct audit *audit, struct span bytes, size_t count)
{
	pthread_mutex_lock(&audit->lock);
	struct span newline = SPAN("\n"), rest = bytes;
	if (audit->fd < 0) { /* it was turned off, and these lines are late */
		pthread_mutex_unlock(&audit->lock);
		return true;
	}
	if (audit->torn && write_all(audit->fd, &newline))
		audit->torn = false;
	bool done = !audit->torn && write_all(audit->fd, &rest);
	uint64_t lost = done ? 0 : count_lines(rest);
	audit->written += count - lost;
	if (done)
		note_success(audit);
	else
		note_failure(audit, span_head(bytes, bytes.length - rest.length), lost);
	pthread_mutex_unlock(&audit->lock);
	return done;
}

bool audit_flush(struct audit_writer *writer)
{
	loop_timer_stop(writer->loop, &writer->flush);
	if (writer->length == 0)
		return true;
	struct span bytes = {writer->lines, writer->length};
	bool done = write_lines(writer->audit, bytes, writer->waiting);
	writer->length = writer->waiting = 0;
	return done || !audit_required(writer->audit);
}

static void flush_later(struct loop_timer *timer)
{
	audit_flush((struct audit_writer *)((char *)timer - offsetof(struct audit_writer, flush)));
}

static const char id_digits[32] = "0123456789abcdefghjkmnpqrstvwxyz";

struct audit_writer *audit_writer_new(struct audit *audit, struct loop *loop)
{
	/* Not memory_alloc(): most of the buffer is never touched, so it need not be zeroed. */
	struct audit_writer *writer = memory_resize(NULL, 1, sizeof *writer);
	unsigned char random[sizeof writer->base];
	writer->audit = audit;
	writer->loop = loop;
	writer->flush = (struct loop_timer){.fire = flush_later};
	writer->note = NULL;
	writer->length = writer->waiting = 0;
	writer->second = -1;
	writer->next_id = 0;
	while (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		continue;
	for (size_t i = 0; i < sizeof random; i++)
		writer->base[i] = id_digits[random[i] % sizeof id_digits];
	return writer;
}

void audit_writer_free(struct audit_writer *writer)
{
	if (!writer)
		return;
	audit_flush(writer);
	free(writer);
}

void audit_id(struct audit_writer *writer, char id[20])
{
	uint64_t number = writer->next_id++;
	memcpy(id, writer->base, sizeof writer->base);
	for (int i = 18; i >= (int)sizeof writer->base; i--, number /= 32)
		id[i] = id_digits[number % 32];
	id[19] = 0;
}

/* The line is written by hand: a printf for each field would cost more than the rest of the exchange's bookkeeping.
 * audit_write() has seen to it that the longest line fits. */
static char *put(char *at, struct span text)
{
	memcpy(at, text.data, text.length);
	return at + text.length;
}

static char *put_number(char *at, uint64_t number)
{
	char digits[20];
	size_t start = sizeof digits;
	do {
		digits[--start] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	return put(at, (struct span){digits + start, sizeof digits - start});
}

static char *put_padded(char *at, uint64_t number, int width)
{
	for (int i = width - 1; i >= 0; i--, number /= 10)
		at[i] = (char)('0' + number % 10);
	return at + width;
}

static bool is_plain(char c)
{
	static const bool plain[256] = {[' ' ... '!'] = true, ['#' ... '['] = true, [']' ... '~'] = true};
	return plain[(unsigned char)c];
}

static char *put_escape(char *at, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	if (c == '"' || c == '\\') {
		*at++ = '\\';
		*at++ = (char)c;
		return at;
	}
	at = put(at, SPAN("\\u00"));
	*at++ = hex[c >> 4];
	*at++ = hex[c & 15];
	return at;
}

/* The inside of a JSON string; what is no UTF-8 becomes U+FFFD. */
static char *put_json(char *at, struct span text)
{
	while (text.length > 0) {
		size_t plain = 0;
		while (plain < text.length && is_plain(text.data[plain]))
			plain++;
		at = put(at, span_head(text, plain));
		text = span_from(text, plain);
		if (text.length == 0)
			break;
		size_t size = utf8_length(text);
		if (size == 0)
			at = put(at, SPAN("\\ufffd"));
		else if (size == 1)
			at = put_escape(at, (unsigned char)text.data[0]);
		else
			at = put(at, span_head(text, size));
		text = span_from(text, size ? size : 1);
	}
	return at;
}

struct span audit_cut(struct span text)
{
	if (text.length <= FIELD_MAX)
		return text;
	size_t end = FIELD_MAX;
	while (end > FIELD_MAX - 4 && ((unsigned char)text.data[end] & 0xc0) == 0x80)
		end--;
	return span_head(text, end);
}

#define KEY(name) SPAN(",\"" name "\":")

static char *put_text(char *at, struct span key, struct span text)
{
	if (!text.data)
		return at;
	at = put(at, key);
	*at++ = '"';
	at = put_json(at, audit_cut(text));
	*at++ = '"';
	return at;
}

static char *put_count(char *at, struct span key, uint64_t number)
{
	return put_number(put(at, key), number);
}

static char *put_flag(char *at, struct span key, bool flag)
{
	return put(put(at, key), flag ? SPAN("true") : SPAN("false"));
}

static char *put_ms(char *at, struct span key, uint64_t microseconds)
{
	at = put_count(at, key, microseconds / 1000);
	*at++ = '.';
	return put_padded(at, microseconds % 1000, 3);
}

/* RFC 3339 in UTC; the calendar is worked out once a second. */
static char *put_time(char *at, struct audit_writer *writer)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec != writer->second) {
		struct tm date;
		gmtime_r(&now.tv_sec, &date);
		strftime(writer->stamp, sizeof writer->stamp, "%Y-%m-%dT%H:%M:%S.000Z", &date);
		writer->second = now.tv_sec;
	}
	put_padded(writer->stamp + sizeof "2026-01-01T00:00:00", (uint64_t)now.tv_nsec / 1000000, 3);
	return put(at, (struct span){writer->stamp, sizeof writer->stamp - 1});
}

/* What is known only at the end. */
static char *put_outcome(char *at, const struct audit_record *record)
{
	at = put_count(at, KEY("scrubbed"), record->scrubbed);
	at = put_flag(at, KEY("rotated"), record->rotated);
	if (record->status)
		at = put_count(at, KEY("status"), record->status);
	at = put_count(at, KEY("bytes_up"), record->bytes_up);
	at = put_count(at, KEY("bytes_down"), record->bytes_down);
	at = put_ms(at, KEY("ms_first"), record->first_us);
	return put_ms(at, KEY("ms"), record->total_us);
}

static char *put_record(char *at, struct audit_writer *writer, const struct audit_record *record, bool start)
{
	at = put_time(put(at, SPAN("{\"time\":\"")), writer);
	*at++ = '"';
	at = put_text(at, KEY("event"), span_of(record->event));
	at = put_text(at, KEY("id"), span_of(record->id));
	at = put_text(at, KEY("profile"), span_of(record->profile));
	at = put_text(at, KEY("client"), span_of(record->client));
	at = put_text(at, KEY("way"), span_of(record->way));
	at = put_text(at, KEY("credential"), span_of(record->credential));
	at = put_text(at, KEY("method"), record->method);
	at = put_text(at, KEY("host"), record->host);
	if (record->port)
		at = put_count(at, KEY("port"), record->port);
	at = put_text(at, KEY("path"), record->path);
	at = put_text(at, KEY("verdict"), span_of(audit_verdict_name(record->verdict)));
	at = put_text(at, KEY("rule"), span_of(record->rule));
	at = put_text(at, KEY("reason"), span_of(record->reason));
	at = put_flag(at, KEY("injected"), record->injected);
	if (!start)
		at = put_outcome(at, record);
	return put(at, SPAN("}\n"));
}

bool audit_write(struct audit_writer *writer, const struct audit_record *record)
{
	unsigned use = writer->audit->use;
	if (writer->note)
		writer->note(writer->context, record);
	if (!(use & ON))
		return !(use & REQUIRED);
	if (writer->length == 0)
		loop_timer_set(writer->loop, &writer->flush, GATHER_TIME);
	bool start = record->event && strcmp(record->event, "start") == 0;
	char *end = put_record(writer->lines + writer->length, writer, record, start);
	writer->length = (size_t)(end - writer->lines);
	writer->waiting++;
	if (writer->length >= GATHER || (start && use & REQUIRED))
		return audit_flush(writer);
	return true;
}

enum audit_verdict audit_verdict_of(unsigned status)
{
	return status < 500 && status != 408 ? AUDIT_DENY : AUDIT_FAIL;
}

bool audit_start(struct audit_writer *writer, const struct audit_record *record, struct problem *problem)
{
	if (audit_write(writer, record))
		return true;
	atomic_fetch_add_explicit(&writer->audit->refused, 1, memory_order_relaxed);
	problem_set(problem, 503, "audit_unavailable", "the audit log cannot be written",
	            "make room for it, or set audit.required to false");
	problem->retry_after = 10;
	return false;
}

void audit_listen(struct audit_writer *writer, void (*note)(void *context, const struct audit_record *record), void *context)
{
	writer->note = note;
	writer->context = context;
}

struct audit_counts audit_counts(struct audit *audit)
{
	pthread_mutex_lock(&audit->lock);
	struct audit_counts counts = {.on = audit->use & ON, .written = audit->written, .lost = audit->lost_ever,
	                              .failing = audit->failing};
	pthread_mutex_unlock(&audit->lock);
	counts.refused = atomic_load_explicit(&audit->refused, memory_order_relaxed);
	return counts;
}
