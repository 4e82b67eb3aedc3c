#include "intercept.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "front_h2.h"
#include "log.h"
#include "memory.h"
#include "mint_leaf.h"
#include "relay.h"
#include "sniff.h"
#include "tunnel.h"

#define PAIR_BYTES (32 * 1024) /* each way, so that what one exchange takes stays bounded; the kernel doubles it */

enum intercept_state {
	INTERCEPT_HANDSHAKE,
	INTERCEPT_FLOWING, /* relayed to a front */
};

struct intercept {
	struct relay relay; /* first; its watches are ours until it starts */
	struct loop_timer timer;
	LIST_ENTRY(intercept) others;
	struct worker *worker;
	struct way way; /* until a front has it */
	enum intercept_state state;
	uint32_t heard[RELAY_SIDES];
};

static struct endpoint *client_of(struct intercept *intercept)
{
	return &intercept->relay.ends[RELAY_CLIENT];
}

/* --- the end --- */

/* Frees all but the client's endpoint, which is not watched any more. */
static struct endpoint take_client(struct intercept *intercept)
{
	struct loop *loop = intercept->worker->loop;
	struct endpoint client = *client_of(intercept);
	relay_stop(&intercept->relay);
	for (int side = 0; side < RELAY_SIDES; side++)
		loop_watch_remove(loop, &intercept->relay.watches[side]);
	loop_timer_stop(loop, &intercept->timer);
	endpoint_close(&intercept->relay.ends[RELAY_UPSTREAM]);
	LIST_REMOVE(intercept, others);
	free(intercept);
	return client;
}

static void end(struct intercept *intercept)
{
	struct worker *worker = intercept->worker;
	bool lingers = intercept->state == INTERCEPT_FLOWING && tunnel_has_unread(&intercept->relay);
	struct endpoint client = take_client(intercept);
	tls_close(client.tls);
	tunnel_close_client(worker, client.fd, lingers, (struct span){0});
}

static void refuse(struct intercept *intercept, const char *reason)
{
	struct worker *worker = intercept->worker;
	worker_note_refusal(worker, &intercept->way, reason, 0);
	worker_way_over(worker, &intercept->way);
	end(intercept);
}

/* --- behind the handshake --- */

static void on_relayed(struct relay *relay, enum relay_end how)
{
	(void)how;
	end((struct intercept *)relay);
}

static void ignore(struct loop_watch *watch, uint32_t events)
{
	(void)watch;
	(void)events;
}

/* Decrypted bytes go through a socket pair, at whose other end a front finds what it would find on a plain connection. */
static void relay_to_front(struct intercept *intercept)
{
	struct worker *worker = intercept->worker;
	struct relay *relay = &intercept->relay;
	const int size = PAIR_BYTES;
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
		refuse(intercept, "out_of_descriptors");
		return;
	}
	for (int i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	intercept->state = INTERCEPT_FLOWING;
	relay->ends[RELAY_UPSTREAM] = (struct endpoint){.fd = pair[0]};
	loop_watch_add(worker->loop, &relay->watches[RELAY_UPSTREAM], pair[0], RELAY_EVENTS);
	/* The fronts have limits of their own for each pause. */
	relay_start(relay, worker->relays, intercept->heard, worker->server->limits.tunnel_idle, on_relayed);
	struct way way = intercept->way;
	worker_connection_added(worker);
	sniff_start(worker, pair[1], &way);
}

/* A second ClientHello could have another name than the one that was judged. */
static bool name_agrees(struct intercept *intercept)
{
	const struct host *host = &intercept->way.place->target.host;
	const char *name = tls_server_name(client_of(intercept)->tls);
	struct host shown;
	if (!name)
		return host->kind != HOST_NAME;
	return host_parse(span_of(name), &shown, NULL) && host_equal(&shown, host);
}

static void hand_to_h2(struct intercept *intercept)
{
	struct worker *worker = intercept->worker;
	struct way way = intercept->way;
	struct endpoint client = take_client(intercept);
	front_h2_start(worker, &client, &way);
}

static void established(struct intercept *intercept)
{
	loop_timer_stop(intercept->worker->loop, &intercept->timer);
	if (!name_agrees(intercept))
		refuse(intercept, "sni_mismatch");
	else if (tls_is_h2(client_of(intercept)->tls))
		hand_to_h2(intercept);
	else
		relay_to_front(intercept);
}

/* --- the handshake --- */

static void shake_hands(struct intercept *intercept)
{
	struct fault fault = FAULT_INIT;
	switch (tls_handshake(client_of(intercept)->tls, &fault)) {
	case TLS_OK:
		established(intercept);
		break;
	case TLS_WANT_READ:
	case TLS_WANT_WRITE:
		break;
	case TLS_CLOSED:
	case TLS_FAILED:
		log_info("%s, in a tunnel to %s: %s", intercept->way.client, intercept->way.place->target.host.name, fault.text);
		refuse(intercept, "tls_handshake");
		break;
	}
}

static void on_client(struct loop_watch *watch, uint32_t events)
{
	struct intercept *intercept =
		(struct intercept *)((char *)watch - offsetof(struct intercept, relay.watches[RELAY_CLIENT]));
	intercept->heard[RELAY_CLIENT] |= events;
	shake_hands(intercept);
}

static void on_late(struct loop_timer *timer)
{
	refuse((struct intercept *)((char *)timer - offsetof(struct intercept, timer)), "tls_handshake_late");
}

static struct intercept *new_intercept(struct worker *worker, int fd, const struct way *way)
{
	struct intercept *intercept = memory_alloc(sizeof *intercept);
	*intercept = (struct intercept){.timer = {.fire = on_late}, .worker = worker, .way = *way};
	intercept->way.kind = WAY_INTERCEPT;
	intercept->way.tls = true;
	intercept->relay.watches[RELAY_CLIENT] = (struct loop_watch){.fd = -1, .ready = on_client};
	intercept->relay.watches[RELAY_UPSTREAM] = (struct loop_watch){.fd = -1, .ready = ignore};
	intercept->relay.ends[RELAY_CLIENT] = (struct endpoint){.fd = fd};
	intercept->relay.ends[RELAY_UPSTREAM] = (struct endpoint){.fd = -1};
	LIST_INSERT_HEAD(&worker->intercepts, intercept, others);
	return intercept;
}

static struct tls *new_session(struct intercept *intercept, bool h2, struct fault *fault)
{
	struct mint *mint = intercept->worker->snapshot->shared->mint;
	if (!mint) {
		fault_set(fault, FAULT_MISSING, "the configuration intercepts nothing any more");
		return NULL;
	}
	struct leaf *leaf = mint_get(mint, &intercept->way.place->target.host, fault);
	struct tls *tls = leaf ? tls_server_new(leaf, client_of(intercept)->fd, h2, fault) : NULL;
	leaf_free(leaf);
	return tls;
}

void intercept_start(struct worker *worker, int fd, const struct way *way, enum http2_mode http2)
{
	struct fault fault = FAULT_INIT;
	struct intercept *intercept = new_intercept(worker, fd, way);
	client_of(intercept)->tls = new_session(intercept, http2 == HTTP2_ON, &fault);
	if (!client_of(intercept)->tls) {
		log_warning("%s, in a tunnel to %s: %s", way->client, way->place->target.host.name, fault.text);
		refuse(intercept, "no_certificate");
		return;
	}
	loop_timer_set(worker->loop, &intercept->timer, worker->server->limits.handshake);
	/* The hello is there, and the event that comes with it starts the handshake. */
	loop_watch_add(worker->loop, &intercept->relay.watches[RELAY_CLIENT], fd, RELAY_EVENTS);
}

void intercept_drain(struct worker *worker)
{
	for (struct intercept *intercept = LIST_FIRST(&worker->intercepts), *next; intercept; intercept = next) {
		next = LIST_NEXT(intercept, others);
		if (intercept->state == INTERCEPT_FLOWING)
			relay_run(&intercept->relay);
	}
}

void intercept_end_all(struct worker *worker)
{
	while (!LIST_EMPTY(&worker->intercepts)) {
		struct intercept *intercept = LIST_FIRST(&worker->intercepts);
		if (intercept->state == INTERCEPT_HANDSHAKE) {
			refuse(intercept, "shutdown");
			continue;
		}
		relay_cut(&intercept->relay);
		end(intercept);
	}
}
