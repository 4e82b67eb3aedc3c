/* One worker: a thread with its own loop, connections and pools. What workers share is in struct server. */
#ifndef KEYSTILE_WORKER_H
#define KEYSTILE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <time.h>

#include "account.h"
#include "audit.h"
#include "isolation.h"
#include "judge.h"
#include "loop.h"
#include "reloads.h"
#include "slab.h"
#include "snapshot.h"
#include "upstream_h1.h"
#include "way.h"

struct admin;
struct inquiry;
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
	atomic_size_t connections;          /* client connections of all workers, sniffed ones included */
	atomic_size_t held;                 /* bytes of request bodies that are held to be signed, of all workers */
	pthread_mutex_t snapshot_lock;
	struct config *first;               /* the one that it was started with: listeners and admin are its own */
	struct snapshot *snapshot;          /* the current one; behind the lock */
	pthread_mutex_t making_lock;        /* who makes a snapshot out of the current one has it until that is published */
	struct minter *minter;
	struct spent *spent;                /* values to be made anew */
	struct commands *commands;          /* of `exec:` */
	struct tallies *tallies;            /* what workers count; NULL: nothing */
	struct reloads reloads;
	struct isolation isolation;         /* what it has given up */
	atomic_bool draining;
};

/* A reference to the current snapshot, which the caller gives back with snapshot_unref(). Any thread. */
struct snapshot *server_snapshot(struct server *server);
/* Gives its configuration's names what they are counted by, before anybody else has the snapshot. */
void server_count_names(struct server *server, struct snapshot *snapshot);
/* Makes `snapshot` (taken over) the current one and tells every worker. */
void server_publish(struct server *server, struct snapshot *snapshot);

/* The same with the current one, but for these tokens (taken over) of `config`. Under another configuration meanwhile they are
 * dropped: who mints has been woken for that. Any thread. */
void server_publish_minted(struct server *server, const struct config *config, struct minted *minted);
/* To this process, for the main thread: a command gave something, or a thread has ended. */
#define SERVER_WAKE_SIGNAL SIGUSR1
/* An upstream does not take what this snapshot has for the credential: it is to be made anew, and then published. */
void server_spend(struct server *server, const struct snapshot *snapshot, const struct config_credential *credential);

/* ms that a client has for its next request once it connected, or had an answer, before a drain closes the connection for
 * being idle: that request may be on its way, and a close would lose it. Who asks by then is answered, and told that the
 * connection ends. */
#define DRAIN_GRACE 300

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
	struct config_limits limits;  /* its configuration's */
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
	TAILQ_HEAD(, exchange) exchanges; /* under way, the oldest first */
	LIST_HEAD(, exchange) awaiting; /* of them, those that wait for a token */
	atomic_size_t connections;    /* read by others to hand connections to the least loaded */
	struct account account;       /* of what it did */
	_Atomic(struct inquiry *) asked; /* somebody wants to know what is under way (inquiry.h) */
	LIST_HEAD(, sniff) sniffs;
	LIST_HEAD(, connect) connects;
	LIST_HEAD(, intercept) intercepts;
	LIST_HEAD(, upgrade) upgrades;
	struct slab sniff_slab; /* resting connections: most of all there are */
	LIST_HEAD(, linger_state) lingers;
	bool draining;
	atomic_bool drain_asked, stop_asked, ended;
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
/* From any thread: has it drained? SERVER_WAKE_SIGNAL tells when. */
bool worker_has_ended(const struct worker *worker);
/* Ends the thread, whatever is under way, and frees what it had. */
void worker_end(struct worker *worker);

/* From any thread: gives an accepted connection of this client (as in struct way) to this worker, which takes the fd over
 * and counts it. False where the worker drains: the caller keeps it. */
bool worker_hand(struct worker *worker, struct listener *listener, int fd, const char *client);

/* Counts the connection for that profile of `snapshot` from here on, and for no other. False with a 503 (detail in `arena`) where
 * the profile has as many as limits.profile_connections; the connection then counts for none. */
bool worker_admit(struct worker *worker, struct way *way, const struct snapshot *snapshot,
                  const struct config_profile *profile, struct arena *arena, struct problem *problem);
/* The connection ends: it counts for no profile, and what its way holds is freed. */
void worker_way_over(struct way *way);

/* The audit line of a connection that was refused before any request of it was read. Status 0: it got no answer. */
void worker_note_refusal(struct worker *worker, const struct way *way, const char *reason, unsigned status);
/* The same of one that failed and got no answer: it was too slow, or went away. */
void worker_note_failure(struct worker *worker, const struct way *way, const char *reason);

/* How many ms of DRAIN_GRACE are left for who has been idle since `since` (loop_now()); 0: none. */
uint64_t worker_grace(const struct worker *worker, uint64_t since);

/* On the worker's own thread: one client connection less (its fd is closed). Ends a draining worker that has none left. */
void worker_connection_closed(struct worker *worker);

#endif
