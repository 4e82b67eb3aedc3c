/* What the files of a tunnel share: connect.c (its life), connect_first.c (what the client says first), connect_again.c (a
 * later configuration) and connect_redirect.c (traffic that was redirected here, where no CONNECT was). For no
 * other room. */
#ifndef KEYSTILE_CONNECT_INTERNAL_H
#define KEYSTILE_CONNECT_INTERNAL_H

#include "connect.h"
#include "relay.h"

#define CONNECT_ENDED (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

enum connect_state {
	CONNECT_NAMING,    /* redirected: the first bytes will tell the host */
	CONNECT_DIALLING,  /* allowed; the upstream is not connected yet */
	CONNECT_LISTENING, /* 200 is out, where it was asked for; the first bytes will tell what it is */
	CONNECT_FLOWING,   /* relayed */
};

struct connect {
	struct relay relay; /* its watches are ours until it starts */
	struct loop_timer timer;
	LIST_ENTRY(connect) others;
	struct worker *worker;
	struct snapshot *snapshot;
	struct arena arena;
	struct way way;
	struct judgement judgement;
	struct problem problem;
	struct dial *dial;
	enum connect_state state;
	int client, upstream; /* -1: not connected */
	bool redirected;     /* it came by a transparent listener: nobody asked by CONNECT, and nobody reads an answer */
	bool tls;            /* it began like TLS */
	struct authority original; /* redirected: where it was to go */
	bool named;          /* the entry names the port, it is not one of the web's, and there are no rules */
	bool through_parent; /* it is connected to a parent proxy */
	bool spoke;          /* the client said something that does not tell yet */
	bool told_end;       /* the upstream ended before anybody spoke, and the client knows */
	size_t wanted;       /* bytes of it, before there is more to tell */
	uint32_t heard[RELAY_SIDES]; /* what the watches told so far */
	uint64_t started, connected; /* monotonic_us() */
	uint64_t since;      /* NAMING, LISTENING: when the client's turn to speak came, loop_now() */
	char id[20];
};

static inline const struct config_limits *connect_limits(const struct connect *connect)
{
	return &connect->worker->limits;
}

/* ---- connect.c ---- */

/* Takes the socket of a client over, which is to be watched by its relay's watch. */
struct connect *connect_new(struct worker *worker, int fd, const struct way *way);
/* It was judged: may the connection count for its profile, is the profile within its rate, and is the start noted? Else a
 * problem. */
bool connect_admit(struct connect *connect);
/* Judged and admitted: connects, or waits for TLS that is to be ended here. */
void connect_go(struct connect *connect);
void connect_flow(struct connect *connect);

void connect_note_end(struct connect *connect, enum audit_verdict verdict, const char *reason, unsigned status);
/* Frees all but the client's fd, which is not watched any more. */
int connect_take_client(struct connect *connect);
/* The next three are the end. `last` goes to the client as its last word; it may be empty. */
void connect_close(struct connect *connect, struct span last);
void connect_end(struct connect *connect, enum audit_verdict verdict, const char *reason);
void connect_refuse(struct connect *connect); /* with connect->problem */

/* Does the entry name the port, and is it none of the web's, and has it no rules? These judge requests: what is none must
 * not go past them. */
static inline bool connect_is_named(const struct judgement *judgement)
{
	uint16_t port = judgement->entry ? judgement->entry->pattern.port : 0;
	return port != 0 && port != 80 && port != 443 && judgement->entry->rules.count == 0;
}

/* ---- connect_first.c ---- */

/* Looks at what the client has said so far, without consuming it. May be the end. */
void connect_look(struct connect *connect);
/* The end, with a fatal alert of this description (RFC 8446 §6) as the client's last word. */
#define TLS_ACCESS_DENIED 49
#define TLS_UNRECOGNIZED_NAME 112
void connect_alert(struct connect *connect, char description);

/* ---- connect_again.c ---- */

/* Does the worker's snapshot not allow it any more? Then this is the end. */
bool connect_is_revoked(struct connect *connect);

/* ---- connect_redirect.c ---- */

/* The host is known: `name`, or where the client named none (NULL) the original destination. Judges, and goes on. */
void connect_named(struct connect *connect, const struct host *name);
/* As connect_refuse(): nobody there reads a response. */
void connect_refuse_redirected(struct connect *connect);

#endif
