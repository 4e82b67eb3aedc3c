/* What the files of the dialer share: dial.c (slots, addresses, start and end of one dial), dial_direct.c (a host that is
 * an address), dial_tunnel.c (the way through a parent proxy) and dial_loop.c (libcurl's sockets and timer on the loop). For no
 * other room. */
#ifndef KEYSTILE_DIAL_INTERNAL_H
#define KEYSTILE_DIAL_INTERNAL_H

#include <stddef.h>

#include "dial.h"

#define PROFILE_TEXT 64

enum dial_state {
	DIAL_WAITING,    /* for a look-up slot */
	DIAL_LOOKING,    /* libcurl resolves; holds a slot, where there is something to look up */
	DIAL_CONNECTING, /* libcurl connects, and asks the parent proxy where there is one */
	DIAL_DIRECT,     /* to the address that the host is: nothing to look up, and no other to try */
	DIAL_REFUSED,    /* before anything was sent; to be told at the end of the round */
};

struct dial {
	struct dialer *dialer;
	struct dial *next, **link; /* in dialer->waiting or dialer->running; `next` alone in dialer->spare */
	void *easy; /* CURL; NULL until it is needed */
	struct dial_parent *parent; /* what it goes through; a reference. NULL: nothing */
	enum dial_state state;
	bool holds_slot;
	struct host host;
	uint16_t port;
	struct dial_policy policy;
	char profile[PROFILE_TEXT];
	void (*done)(void *context, const struct dial_result *result); /* NULL once nobody waits for it */
	void *context;
	struct loop_timer limit;
	bool out_of_files; /* a socket could not be made */
	unsigned answered; /* bytes of a parent's answer, about */
	int latest;        /* the last socket that was made for libcurl, while it is open; -1 */
	int kept;          /* the socket that is given away, until libcurl has let go of it; -1 */
	struct loop_watch direct; /* its fd is ours until it is given away */
	struct loop_task failed;
	int kept_errno; /* of `failed` */
	struct dial_result result;
};

/* One socket that libcurl wants watched. */
struct dial_socket {
	struct loop_watch watch;
	struct dialer *dialer;
	struct dial_socket *next; /* in dialer->spare_sockets */
};

struct dialer {
	struct loop *loop;
	void *multi; /* CURLM */
	const struct sockaddr_storage *own;
	size_t own_count;
	uint64_t connect_limit;
	struct loop_timer timer; /* libcurl's */
	struct loop_task kick;   /* libcurl wants to run now, or a look-up slot came free */
	bool run_now;
	unsigned lookups;
	struct dial *waiting, **waiting_end;
	struct dial *running, *spare;
	struct dial_socket *spare_sockets;
};

#define OWNER(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* ---- dial.c ---- */

void dial_finished(struct dial *dial, int code); /* CURLcode; `dial` is over then */

/* A non-blocking socket for an address that may be dialled, or -1 with the reason in `dial`. */
int dial_open(struct dial *dial, const struct sockaddr *address, socklen_t size);

/* These end the dial, with a connected `fd`, or with an errno that counts where dial_open() had nothing to say. */
void dial_settle_connected(struct dial *dial, int fd);
void dial_settle_errno(struct dial *dial, int error);
/* The same at the end of the round: who dials is never called from within dial_start(). */
void dial_fail_later(struct dial *dial, int error);

/* ---- dial_direct.c ---- */

void dial_direct_begin(struct dial *dial);
void dial_direct_stop(struct dial *dial);

/* ---- dial_tunnel.c: with a parent ---- */

/* May the parent be asked for this host, judged by name and literal (SPEC §2)? Else the result says why not. */
bool dial_tunnel_may(struct dial *dial);
/* Which addresses the parent itself may have: it is the operator's own entry (SPEC §7). */
struct dial_policy dial_tunnel_policy(const struct dial_parent *parent);
void dial_tunnel_prepare(struct dial *dial); /* tells libcurl */
/* Fills the result of a dial that failed with this CURLcode, or whose time is over. */
void dial_tunnel_explain(struct dial *dial, int code);
void dial_tunnel_explain_late(struct dial *dial);

/* ---- dial_loop.c ---- */

/* False where libcurl does not start. */
bool dial_loop_start(struct dialer *dialer);
void dial_loop_run(struct dialer *dialer); /* if libcurl wants to run now */
void dial_loop_stop(struct dialer *dialer);

#endif
