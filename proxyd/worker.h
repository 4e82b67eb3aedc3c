/* One worker: a thread with its own loop, connections and pools. What workers share is in struct server. */
#ifndef KEYSTILE_WORKER_H
#define KEYSTILE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <time.h>

#include "audit.h"
#include "judge.h"
#include "loop.h"
#include "slab.h"
#include "snapshot.h"
#include "upstream_h1.h"
#include "way.h"

struct admin;
struct front_h1;
struct front_h2;
struct front_https;
struct listener;
struct relay_room;
struct sigv4_cache;
struct minter;
struct upstream_h2;
struct exchange;

/* Shared by all workers; made before the first one starts, and outliving the last. */
struct server {
	struct config_limits limits;
	struct listener *listeners;
	size_t listener_count;
	struct listener *admin_listener;
	struct admin *admin;                /* NULL: none */
	struct judge_listener own;          /* every listener's address, for the origin-form test */
	struct sockaddr_storage *own_dial;  /* the same, never to be dialled */
	size_t own_dial_count;
	struct audit *audit;
	struct worker *workers;
	unsigned worker_count;
	atomic_uint drains;                 /* workers that have stopped accepting */
	atomic_size_t *profile_connections; /* the same by the profile's number */
	atomic_size_t connections;          /* client connections of all workers, sniffed ones included */
	atomic_size_t held;                 /* bytes of request bodies that are held to be signed, of all workers */
	pthread_mutex_t snapshot_lock;
	struct snapshot *snapshot;          /* the current one; behind the lock */
	pthread_mutex_t making_lock;        /* who makes a snapshot out of the current one has it until that is published */
	struct minter *minter;              /* NULL: no credential mints */
	struct spent *spent;                /* values to be made anew */
};

/* A reference to the current snapshot, which the caller gives back with snapshot_unref(). Any thread. */
struct snapshot *server_snapshot(struct server *server);
/* Makes `snapshot` (taken over) the current one and tells every worker. */
void server_publish(struct server *server, struct snapshot *snapshot);

/* The same with the current one, but for these tokens (taken over). Any thread. */
void server_publish_minted(struct server *server, struct minted *minted);
#define SERVER_SPENT_SIGNAL SIGUSR1
/* An upstream does not take what this snapshot has for the credential: it is to be made anew, and then published. */
void server_spend(struct server *server, const struct snapshot *snapshot, const struct config_credential *credential);

/* A connection that another worker accepted for us. */
struct handed_connection {
	struct handed_connection *next;
	struct listener *listener;
	int fd;
	char client[sizeof ((struct way *)NULL)->client];
};

struct worker {
	struct server *server;
	unsigned number;
	pthread_t thread;
	struct loop *loop;
	struct snapshot *snapshot;    /* the one that new requests begin with */
	struct dialer *dialer;
	struct upstream_pool *pool;
	struct upstream_h2 *upstream_h2;
	struct audit_writer *audit;
	struct front_h1 *front;
	struct front_h2 *front_h2;
	struct front_https *front_https;
	struct relay_room *relays;
	struct sigv4_cache *signing_keys; /* NULL: nothing was signed yet */
	struct loop_watch *accepting; /* one for each listener */
	struct exchange *spare;       /* ended exchanges, kept with their arenas for the next ones */
	size_t spare_count;
	size_t exchanges;             /* under way */
	LIST_HEAD(, exchange) awaiting; /* of them, those that wait for a token */
	atomic_size_t connections;    /* read by others to hand connections to the least loaded */
	atomic_ullong scrub_finds;    /* secrets that responses had in them; for whoever sums the workers' */
	atomic_ullong scrub_unread;   /* bodies that passed unread though a secret had gone up */
	LIST_HEAD(, sniff) sniffs;
	LIST_HEAD(, connect) connects;
	LIST_HEAD(, intercept) intercepts;
	LIST_HEAD(, upgrade) upgrades;
	struct slab sniff_slab; /* resting connections: most of all there are */
	LIST_HEAD(, linger_state) lingers;
	bool draining;
	atomic_bool drain_asked, stop_asked;
	pthread_mutex_t inbox_lock;
	struct handed_connection *inbox;
	bool inbox_closed;            /* the worker drains, and may have ended */
	char *peek;                   /* where sniff looks at first bytes */
};

/* Makes what the worker needs; all are prepared before the first one starts, since they hand each other connections.
 * False with a fault when it cannot; nothing is left then. */
bool worker_prepare(struct worker *worker, struct server *server, unsigned number, struct fault *fault);
/* Starts its thread. */
bool worker_start(struct worker *worker, struct fault *fault);
/* From any thread: take in who has connected and accept no more, close those who say nothing, end when the last one who
 * did has been served. */
void worker_drain(struct worker *worker);
/* From any thread: end now, whatever is under way. */
void worker_stop(struct worker *worker);
/* Waits for the thread to end, at most until `deadline` (CLOCK_REALTIME), then ends it; frees what it had. False where
 * it had to be ended. */
bool worker_join(struct worker *worker, const struct timespec *deadline);

/* From any thread: gives an accepted connection of this client (as in struct way) to this worker, which takes the fd over
 * and counts it. False where the worker drains: the caller keeps it. */
bool worker_hand(struct worker *worker, struct listener *listener, int fd, const char *client);

/* Counts the connection for that profile from here on, and for no other. False with a 503 (detail in `arena`) where the
 * profile has as many as limits.profile_connections; the connection then counts for none. */
bool worker_admit(struct worker *worker, struct way *way, const struct config_profile *profile, struct arena *arena,
                  struct problem *problem);
/* The connection ends: it counts for no profile, and what its way holds is freed. */
void worker_way_over(struct worker *worker, struct way *way);

/* The audit line of a connection that was refused before any request of it was read. Status 0: it got no answer. */
void worker_note_refusal(struct worker *worker, const struct way *way, const char *reason, unsigned status);
/* The same of one that failed and got no answer: it was too slow, or went away. */
void worker_note_failure(struct worker *worker, const struct way *way, const char *reason);

/* On the worker's own thread: one client connection less (its fd is closed). Ends a draining worker that has none left. */
void worker_connection_closed(struct worker *worker);

#endif
