/* The audit log: JSON lines, one per request, tunnel and refusal (SPEC §12).
 *
 * Lines of one worker are gathered for some 10 ms, or 32 KB, and written together, each write whole lines; what must be on
 * file before anything is dialled (`required`) is flushed at once. Never given a secret or a query. */
#ifndef KEYSTILE_AUDIT_H
#define KEYSTILE_AUDIT_H

#include <stdatomic.h>
#include <stdint.h>

#include "buffer.h"
#include "fault.h"
#include "loop.h"
#include "problem.h"
#include "tally_names.h"
#include "way.h"

struct audit; /* the file; shared by all workers */

/* `path` "-": standard output; NULL: no audit, every call is a cheap no-op. Opened for appending, 0640. */
struct audit *audit_open(const char *path, bool required, struct fault *fault);
bool audit_reopen(struct audit *audit, struct fault *fault); /* after logrotate; the old file stays on failure */
/* As audit_open() would have it: another file, or none. In two steps, for who can fail between them. */
struct audit_change {
	char *path;
	int fd; /* -1: none, or the one that is open */
	bool same, required;
};
bool audit_prepare(const struct audit *audit, const char *path, bool required, struct audit_change *change, struct fault *fault);
/* One of these is to follow. */
void audit_commit(struct audit *audit, struct audit_change *change);
void audit_abandon(struct audit_change *change);
void audit_close(struct audit *audit);
bool audit_required(const struct audit *audit);

/* One worker's end of it. */
struct audit_writer;
struct audit_writer *audit_writer_new(struct audit *audit, struct loop *loop);
void audit_writer_free(struct audit_writer *writer); /* flushes */

/* What a record is of, for those who count: a line tells it by its other members. */
enum audit_kind {
	AUDIT_REQUEST,
	AUDIT_TUNNEL,
	AUDIT_CONNECTION, /* it ended before there was a request */
};

struct tally_entry; /* tally.h */

/* What an answer of ours with this status is: a refusal, or (5xx, and 408: the client was too slow) a failure. */
enum audit_verdict audit_verdict_of(unsigned status);

/* Strings may be NULL (left out) and are cut at 2 KiB; spans with data NULL are left out. */
struct audit_record {
	const char *event; /* "end", "start" */
	enum audit_kind kind;
	char id[20];
	enum way_kind way_kind;
	const char *profile, *client, *way, *credential, *rule, *reason;
	struct tally_entry *credential_tally, *profile_tally; /* where they are counted; NULL: as none */
	struct span method, host, path;
	uint16_t port; /* 0: left out */
	enum audit_verdict verdict;
	bool injected, rotated;
	uint32_t scrubbed;
	unsigned status;                /* 0: left out */
	uint64_t bytes_up, bytes_down;  /* content */
	uint64_t first_us, total_us;    /* microseconds since the head was complete; written as ms with three decimals */
};

/* Is told of every record that is written here, also where there is no audit file. */
void audit_listen(struct audit_writer *writer, void (*note)(void *context, const struct audit_record *record), void *context);

/* What a line shows of a text: at most 2 KiB, and no half of a character at the cut. */
struct span audit_cut(struct span text);

/* Since the start; for any thread. */
struct audit_counts {
	bool on;
	uint64_t written, lost; /* lines */
	uint64_t refused;       /* requests and tunnels that went nowhere since theirs could not be written (`required`) */
	bool failing;           /* the last write failed */
};
struct audit_counts audit_counts(struct audit *audit);

/* Queues a line; one whose event is "start" is written at once where `required` is set. False where the file did not take it
 * and `required` is set. */
bool audit_write(struct audit_writer *writer, const struct audit_record *record);
/* Writes what is queued, now. False as above. */
bool audit_flush(struct audit_writer *writer);

/* The line, event "start", without which nothing is dialled or injected where `required` is set: false with a 503 then. */
bool audit_start(struct audit_writer *writer, const struct audit_record *record, struct problem *problem);

/* A new request id: unique over workers and restarts, without coordination. */
void audit_id(struct audit_writer *writer, char id[20]);

#endif
