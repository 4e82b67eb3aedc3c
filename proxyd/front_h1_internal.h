/* What the files of the HTTP/1.x front share: front_h1_seat.c (connections), front_h1_next.c (between two requests of one),
 * front_h1.c (requests), front_h1_reply.c (what the exchange tells, and responses by libmicrohttpd), front_h1_raw.c (what is
 * written past it), front_h1_trailers.c (trailers). */
#ifndef KEYSTILE_FRONT_H1_INTERNAL_H
#define KEYSTILE_FRONT_H1_INTERNAL_H

#include <microhttpd.h>

#include "exchange.h"
#include "front_h1.h"

#define SMALL_MEMORY (10 * 1024)      /* zeroed for each request, so what most requests need */
#define LOOK_BYTES (SMALL_MEMORY / 2) /* what libmicrohttpd reads at once there; a longer head needs a larger seat */

#define CALLS 2                       /* of MHD_run: one reads or writes, the next goes on with what that brought */
#define LEFT_TIME 100                 /* ms for the requests that came in front of a client's end to be read */

/* A daemon of libmicrohttpd; they differ in the memory that each of their connections has. */
struct hall {
	struct MHD_Daemon *daemon;
	size_t memory;
	bool asked;    /* MHD_run is due */
	unsigned more; /* and due again, so many times */
};

#define HALLS 8 /* the first is the small one; each later one was needed for a greater limits.head than those before */

struct front_h1 {
	struct worker *worker;
	struct hall halls[HALLS];
	size_t hall_count;
	struct loop_task run;  /* MHD_run at the end of the round, behind the events of the connections themselves */
	bool running;          /* within a call of MHD_run */
	LIST_HEAD(, client) clients;
	LIST_HEAD(, client) resting; /* whose request or response ended in this call of MHD_run */
	LIST_HEAD(, client) reading; /* of whose head or body libmicrohttpd has a part */
	struct client *adding; /* while MHD_add_connection runs */
	struct loop_timer trim;
	unsigned left; /* connections that left since it fired */
	int over;              /* a socket whose other end is closed */
};

enum client_state {
	CLIENT_IDLE,   /* between requests; suspended, unless libmicrohttpd has a part of the next head */
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
	struct loop_timer timer; /* idle: until it leaves; a head that began: limits.head_time; raw: the last bytes */
	struct front_h1 *front;
	struct hall *hall;
	struct MHD_Connection *connection;
	LIST_ENTRY(client) others, list;
	enum listed { LISTED_NOWHERE, LISTED_RESTING, LISTED_READING } listed;
	const char *memory; /* the start of libmicrohttpd's memory for it; NULL: not known, for one request at most */
	const char *head;   /* where in it the head of `exchange` is */
	uint64_t since;     /* CLIENT_IDLE: when it became so, loop_now() */
	int fd;
	enum client_state state;
	bool suspended;
	unsigned vain;      /* calls of libmicrohttpd that read on, and nothing came of it */
	bool gone;          /* its end came before its request was read; no event will tell of it again */
	bool left;          /* its end came: no more than is here will come */
	bool head_began;    /* CLIENT_IDLE: libmicrohttpd has bytes of the next head */
	bool held;          /* CLIENT_IDLE: it might have, or reads a head that was looked at */
	bool unread;        /* there may be bytes on the socket */
	bool more;          /* more than the first head was there when the connection got its seat */
	bool served;        /* a request was */
	bool moved;         /* the socket went back to the sniffer; libmicrohttpd is to end what is left */
	bool body_ended;    /* the request body is complete */
	bool raw_done;      /* CLIENT_RAW: the response is written */
	bool close_behind;  /* what would follow this request cannot be trusted to be another one */
	bool reset_on_cut;  /* the end of the response is the end of the connection: a cut must be a reset */
	struct way way;
	struct exchange *exchange;
	struct exchange *next; /* CLIENT_IDLE: with the head that was looked at; then `exchange` */
	size_t next_size;      /* of that head */
	bool looked_at;        /* `exchange` has its head from there */
	struct span prefetched; /* response body read before libmicrohttpd asked; in the exchange's arena */
	struct MHD_Response *footers; /* the response that trailers are added to */
	struct buffer raw;      /* CLIENT_RAW: what waits for the socket */
	size_t raw_sent;
};

extern const struct front_table front_h1_table;

/* ---- front_h1.c: requests, as libmicrohttpd gives them ---- */

void *front_h1_on_request_line(void *context, const char *target, struct MHD_Connection *connection);
enum MHD_Result front_h1_on_request(void *context, struct MHD_Connection *connection, const char *url, const char *method,
                                    const char *version, const char *bytes, size_t *size, void **request_context);
void front_h1_on_completed(void *context, struct MHD_Connection *connection, void **request_context,
                           enum MHD_RequestTerminationCode how);
void front_h1_suspend(struct client *client);
void front_h1_wait(struct client *client); /* there is no response, or no more of it yet */
void front_h1_resume(struct client *client);
/* The connection ends at libmicrohttpd's next call. */
void front_h1_close(struct client *client);
/* The same at once, with a reset: the response is not whole, and what the client did not take is not kept for it. */
void front_h1_reset(struct client *client);
/* Where the end of the connection would be the end of the response's body, what ends it now is a reset. */
void front_h1_cut(struct client *client);

/* ---- front_h1_seat.c: connections ---- */

const struct config_limits *front_h1_limits(const struct client *client);
void front_h1_set_timer(struct client *client, uint64_t milliseconds);
/* MHD_run at the end of the round, and then at least `more` times again. */
void front_h1_run_soon(struct client *client, unsigned more);
/* Where libmicrohttpd stands still over what has no room in its memory, only a time limit ends the connection. */
void front_h1_end_soon(struct client *client);
/* The socket of a suspended client goes back to the sniffer, to rest there for `idle` ms. False where there is no fd for
 * that. */
bool front_h1_leave(struct client *client, uint64_t idle);
/* libmicrohttpd has written a 101; `bytes` are what it read behind the request. */
void front_h1_on_switch(void *context, struct MHD_Connection *connection, void *request_context, const char *bytes,
                        size_t size, MHD_socket fd, struct MHD_UpgradeResponseHandle *handle);

/* ---- front_h1_next.c: between two requests ---- */

/* Bytes of a later head are there, and libmicrohttpd has not read them. All that is not to be served here is for the
 * sniffer: it waits for the rest, refuses, or gives the connection a larger seat. */
void front_h1_look(struct client *client);
/* In a drain. Bytes are looked at that no event will tell of again; without any, the connection ends, once its time for a
 * next request is over (DRAIN_GRACE). */
void front_h1_look_last(struct client *client);
void front_h1_head_begins(struct client *client); /* limits.head_time begins */
void front_h1_forget_next(struct client *client);
/* A request, or a response, ended: the connection is suspended once this call of MHD_run is over. */
void front_h1_rest(struct client *client);
/* Does libmicrohttpd have a part of a head, or of a body? Then it is called as long as there is more to read. To say so
 * again tells that something came of it. */
void front_h1_reading(struct client *client, bool reading);
void front_h1_called(struct front_h1 *front, const struct hall *hall); /* a call of MHD_run is over */
bool front_h1_has_unread(const struct client *client); /* bytes on the socket */

/* ---- front_h1_trailers.c: what libmicrohttpd's memory shows ---- */

/* The request's trailers, pointing into that memory. False where they are refused: the connection ends. */
bool front_h1_trailers(struct client *client, struct fields *trailers);
/* Did it read more than the request's head, once first_call() has that? */
bool front_h1_has_read_on(const struct client *client);
/* The same, once there is a response. True where it is not known. */
bool front_h1_may_have_read_on(const struct client *client);
/* 0.9.75 takes what 1.0 refuses. The library that is loaded decides, not the one that was built with: both have the same
 * soname. */
bool front_h1_library_is_lax(void);

/* ---- front_h1_raw.c: what is written past libmicrohttpd ---- */

void front_h1_raw_start(struct client *client);
void front_h1_raw_pump(struct client *client);
/* A 1xx, at once; the connection ends where the socket does not take all of it. */
void front_h1_raw_interim(struct client *client, const struct response *interim);
/* A last word on a connection that libmicrohttpd is not writing on. */
void front_h1_raw_problem(struct client *client, unsigned status, const char *reason, const char *detail,
                          const char *hint);

#endif
