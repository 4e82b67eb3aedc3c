/* What the files of the HTTP/1.x front share: front_h1.c (connections, the request side), front_h1_reply.c (what the
 * exchange tells, and responses by libmicrohttpd), front_h1_raw.c (what is written past it). */
#ifndef KEYSTILE_FRONT_H1_INTERNAL_H
#define KEYSTILE_FRONT_H1_INTERNAL_H

#include <microhttpd.h>

#include "exchange.h"
#include "front_h1.h"

#define POOL_BESIDE (16 * 1024) /* beside a request head of limits.head: what a response head takes. Zeroed per request */

struct front_h1 {
	struct worker *worker;
	struct MHD_Daemon *daemon;
	struct loop_watch watch; /* libmicrohttpd's epoll fd */
	struct loop_task run;    /* MHD_run at the end of the round, behind the events of the connections themselves */
	LIST_HEAD(, client) clients;
	struct client *adding;   /* while MHD_add_connection runs */
};

enum client_state {
	CLIENT_IDLE,   /* between requests */
	CLIENT_HEAD,   /* a request line came; its head is being read by libmicrohttpd */
	CLIENT_EXPECT, /* suspended: the client waits for a 100 (Continue) before it sends the body */
	CLIENT_BODY,   /* the request body is flowing, or is suspended because the upstream is slower */
	CLIENT_WAIT,   /* suspended: the request is complete, the response is not there yet */
	CLIENT_REPLY,  /* libmicrohttpd has the response, and pulls its body */
	CLIENT_RAW,    /* the response came before the request body's end: written past libmicrohttpd */
	CLIENT_CLOSE,  /* libmicrohttpd closes the connection at its next call */
};

struct client {
	struct loop_watch watch; /* the connection: gone, more bytes, writable again (raw) */
	struct loop_timer timer; /* idle: limits.idle; a head that began: limits.head_time; raw: the last bytes */
	struct front_h1 *front;
	struct MHD_Connection *connection;
	LIST_ENTRY(client) others;
	int fd;
	enum client_state state;
	bool suspended;
	bool gone;          /* its end came before its request was read; no event will tell of it again */
	bool left;          /* its end came: no more than is here will come */
	bool head_began;    /* CLIENT_IDLE: bytes of the next head came */
	bool body_ended;    /* the request body is complete */
	bool raw_done;      /* CLIENT_RAW: the response is written */
	bool close_behind;  /* what would follow this request cannot be trusted to be another one */
	bool reset_on_cut;  /* the end of the response is the end of the connection: a cut must be a reset */
	struct way way;
	struct exchange *exchange;
	struct span prefetched; /* response body read before libmicrohttpd asked; in the exchange's arena */
	struct MHD_Response *footers; /* the response that trailers are added to */
	struct buffer raw;      /* CLIENT_RAW: what waits for the socket */
	size_t raw_sent;
};

extern const struct front_table front_h1_table;

void front_h1_suspend(struct client *client);
void front_h1_resume(struct client *client);
/* The connection ends at libmicrohttpd's next call. */
void front_h1_close(struct client *client);
/* The same at once, with a reset: the response is not whole, and what the client did not take is not kept for it. */
void front_h1_reset(struct client *client);
/* Where the end of the connection would be the end of the response's body, what ends it now is a reset. */
void front_h1_cut(struct client *client);

void front_h1_raw_start(struct client *client);
void front_h1_raw_pump(struct client *client);
/* A 1xx, at once; the connection ends where the socket does not take all of it. */
void front_h1_raw_interim(struct client *client, const struct response *interim);
/* A last word on a connection that libmicrohttpd is not writing on. */
void front_h1_raw_problem(struct client *client, unsigned status, const char *reason, const char *detail,
                          const char *hint);

#endif
