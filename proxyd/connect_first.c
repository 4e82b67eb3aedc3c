/* What the client says first, in a tunnel that stands or on a connection that was redirected here (SPEC §4.5). */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "client_hello.h"
#include "connect_internal.h"
#include "first_bytes.h"
#include "intercept.h"
#include "memory.h"
#include "sniff.h"

/* What the CONNECT, or the redirection, settled, for whoever has the connection from here on. */
static struct way settle_way(struct connect *connect)
{
	struct way way = connect->way;
	bool open = connect->state == CONNECT_NAMING;
	way.place = memory_alloc(sizeof *way.place);
	way.place->open = open;
	way.place->target =
		open ? connect->original : (struct authority){connect->judgement.host, connect->judgement.port};
	way.place->session = connect->redirected ? WAY_NO_TOKEN : snapshot_session(connect->snapshot);
	way.place->token_version = open ? 0 : connect->judgement.profile->token_version;
	snprintf(way.place->profile, sizeof way.place->profile, "%s", open ? way.profile : connect->judgement.profile->name);
	way.profile = way.place->profile;
	if (!open)
		connect_note_end(connect, AUDIT_ALLOW, NULL, connect->redirected ? 0 : 200);
	return way;
}

static void hand_to_http(struct connect *connect)
{
	struct worker *worker = connect->worker;
	struct way way = settle_way(connect);
	sniff_start(worker, connect_take_client(connect), &way);
}

static void hand_to_intercept(struct connect *connect)
{
	struct worker *worker = connect->worker;
	struct judgement judgement = connect->judgement;
	struct snapshot *snapshot = snapshot_ref(connect->snapshot);
	struct way way = settle_way(connect);
	intercept_start(worker, connect_take_client(connect), &way, &judgement, snapshot);
	snapshot_unref(snapshot);
}

void connect_alert(struct connect *connect, char description)
{
	const char alert[] = {0x15, 3, 3, 0, 2, 2, description};
	connect_close(connect, (struct span){alert, sizeof alert});
}

/* A ClientHello that goes no further (RFC 6066 §3). */
static void refuse_hello(struct connect *connect, const char *reason)
{
	connect_note_end(connect, AUDIT_DENY, reason, connect->redirected ? 0 : 200);
	connect_alert(connect, TLS_UNRECOGNIZED_NAME);
}

/* The name must be the CONNECT's, and to an address goes none (RFC 6066 §3). False where more bytes must tell. */
static bool judge_hello(struct connect *connect, struct span bytes)
{
	struct client_hello hello;
	const struct host *host = &connect->judgement.host;
	struct arena arena = {0};
	const char *why;
	if (bytes.length < connect->wanted && connect->wanted <= connect_limits(connect)->head + 1)
		return false;
	enum hello_result result = client_hello_read(bytes, &arena, &hello, &why);
	arena_free(&arena);
	connect->wanted = hello.wanted;
	if (result == HELLO_MORE && hello.wanted <= connect_limits(connect)->head + 1)
		return false;
	if (result == HELLO_MORE)
		refuse_hello(connect, "client_hello_too_large");
	else if (result == HELLO_BAD)
		refuse_hello(connect, "client_hello_malformed");
	else if (connect->state == CONNECT_NAMING)
		connect_named(connect, hello.named ? &hello.name : NULL);
	else if (hello.named != (host->kind == HOST_NAME))
		refuse_hello(connect, hello.named ? "sni_for_address" : "sni_missing");
	else if (hello.named && !host_equal(&hello.name, host))
		refuse_hello(connect, "sni_mismatch");
	else if (connect->judgement.intercept)
		hand_to_intercept(connect);
	else
		connect_flow(connect);
	return true;
}

static void refuse_byte(struct connect *connect, unsigned char byte)
{
	char reason[32];
	snprintf(reason, sizeof reason, "first_byte_0x%02x", byte);
	connect_end(connect, AUDIT_DENY, reason);
}

/* False where more bytes must tell. */
static bool judge_first(struct connect *connect, struct span bytes)
{
	enum first_bytes first = first_bytes_judge(bytes, connect->named);
	if (!connect->spoke)
		loop_timer_set(connect->worker->loop, &connect->timer, connect_limits(connect)->head_time);
	connect->spoke = true;
	connect->tls = first == FIRST_TLS;
	if (first == FIRST_TLS)
		return judge_hello(connect, bytes);
	if (first == FIRST_HTTP && connect->told_end)
		connect_end(connect, AUDIT_FAIL, "upstream_cut");
	else if (first == FIRST_HTTP)
		hand_to_http(connect);
	else if (first == FIRST_OTHER && connect->named)
		connect_flow(connect);
	else if (first == FIRST_OTHER || bytes.length > connect_limits(connect)->head)
		refuse_byte(connect, (unsigned char)bytes.data[0]);
	else
		return false;
	return true;
}

static bool client_ended(const struct connect *connect)
{
	return connect->heard[RELAY_CLIENT] & EPOLLRDHUP;
}

/* The client says no more: what is here is all there is to judge. On a named port that may be all of a request that is no
 * HTTP, or nothing, to a server that speaks first. */
static void judge_end(struct connect *connect, struct span bytes)
{
	bool tls = bytes.length > 0 && first_bytes_judge(bytes, connect->named) == FIRST_TLS;
	if (connect->named && !tls)
		connect_flow(connect);
	else
		connect_end(connect, AUDIT_FAIL, "client_gone");
}

void connect_look(struct connect *connect)
{
	struct worker *worker = connect->worker;
	ssize_t count = recv(connect->client, worker->peek, (size_t)worker->limits.head + 1, MSG_PEEK);
	struct span bytes = {worker->peek, count > 0 ? (size_t)count : 0};
	if (count < 0 && errno != EAGAIN && errno != EINTR)
		connect_end(connect, AUDIT_FAIL, "client_gone");
	else if (count > 0 ? judge_first(connect, bytes) : count < 0)
		return;
	else if (client_ended(connect) || count == 0)
		judge_end(connect, bytes);
}
