/* One request to a token endpoint, by the rooms that requests of clients go up by: the same checks of addresses, the same parent
 * proxy, the same trust, and a strict reading of what comes back. */
#include "minter_internal.h"

#include <stdio.h>

#include "dial_parent.h"
#include "json.h"
#include "memory.h"
#include "trusts.h"

#define ASK_TIME 30000 /* ms, for all of it (SPEC §2) */

struct ask {
	struct minter *minter;
	struct job *job;
	void (*done)(struct job *job, const struct ask_result *result);
	struct snapshot *snapshot; /* whose trust and parent proxy it uses */
	struct destination destination;
	struct upstream *upstream; /* NULL: it cannot be reached, and `result` says why */
	struct arena arena;        /* of the head; wiped */
	struct span body;
	size_t written;
	bool finished;             /* the body is complete */
	struct buffer answer;
	struct loop_timer limit;
	struct loop_task over;     /* tells `done` at the end of the round */
	struct ask_result result;
};

static void ask_free(struct ask *ask)
{
	loop_timer_stop(ask->minter->loop, &ask->limit);
	loop_later_cancel(ask->minter->loop, &ask->over);
	if (ask->upstream)
		ask->upstream->table->release(ask->upstream);
	snapshot_unref(ask->snapshot);
	arena_free(&ask->arena);
	buffer_wipe(&ask->answer);
	free(ask);
}

static void tell(struct loop_task *task)
{
	struct ask *ask = (struct ask *)((char *)task - offsetof(struct ask, over));
	ask->result.reply.body = buffer_view(&ask->answer);
	ask->done(ask->job, &ask->result);
	ask_free(ask);
}

/* The first that is said counts. */
static void end(struct ask *ask, bool answered, const char *why)
{
	if (ask->over.queued)
		return;
	ask->result.answered = answered;
	snprintf(ask->result.why, sizeof ask->result.why, "%s", why);
	loop_later(ask->minter->loop, &ask->over);
}

static void on_limit(struct loop_timer *timer)
{
	struct ask *ask = (struct ask *)((char *)timer - offsetof(struct ask, limit));
	end(ask, false, "it gave no whole answer within 30 s");
}

/* ---- what comes ---- */

static void push(struct ask *ask)
{
	struct span rest = span_from(ask->body, ask->written);
	if (rest.length > 0)
		ask->written += ask->upstream->table->write(ask->upstream, rest.data, rest.length);
	if (ask->written < ask->body.length || ask->finished || ask->body.length == 0)
		return;
	ask->finished = true;
	ask->upstream->table->finish(ask->upstream, NULL);
}

static void on_connected(void *context)
{
	(void)context;
}

static void on_interim(void *context, const struct response *interim)
{
	(void)context, (void)interim;
}

static void on_writable(void *context)
{
	push(context);
}

/* IMF-fixdate (RFC 9110 §5.6.7). */
static time_t date_of(const struct response *response)
{
	const struct field *field = fields_find(&response->fields, SPAN("Date"));
	char text[64];
	struct tm parts = {0};
	if (!field || field->value.length >= sizeof text)
		return 0;
	snprintf(text, sizeof text, "%.*s", SPAN_ARGS(field->value));
	return strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &parts) ? timegm(&parts) : 0;
}

#define RETRY_DIGITS 6

/* In seconds; a date is left alone (RFC 9110 §10.2.3). */
static unsigned retry_of(const struct response *response)
{
	const struct field *field = fields_find(&response->fields, SPAN("Retry-After"));
	unsigned seconds = 0;
	for (size_t i = 0; field && i < field->value.length; i++) {
		char c = field->value.data[i];
		if (c < '0' || c > '9' || field->value.length > RETRY_DIGITS)
			return 0;
		seconds = seconds * 10 + (unsigned)(c - '0');
	}
	return seconds;
}

static void on_readable(void *context)
{
	struct ask *ask = context;
	char bytes[4096];
	ssize_t count;
	while ((count = ask->upstream->table->read(ask->upstream, bytes, sizeof bytes)) > 0) {
		if ((size_t)count > JSON_MOST - ask->answer.length) {
			end(ask, false, "its answer has more than 64 KiB");
			break;
		}
		buffer_append(&ask->answer, bytes, (size_t)count);
	}
	explicit_bzero(bytes, sizeof bytes);
	if (count == 0)
		end(ask, true, "");
	else if (count == UPSTREAM_READ_ERROR)
		end(ask, false, "its answer broke off");
}

static void on_head(void *context, const struct response *response)
{
	struct ask *ask = context;
	const struct field *coding = fields_find(&response->fields, SPAN("Content-Encoding"));
	ask->result.reply.status = response->status;
	ask->result.reply.now = time(NULL);
	ask->result.reply.server_now = date_of(response);
	ask->result.retry_after = retry_of(response);
	if (coding && !span_equal_nocase(coding->value, SPAN("identity")))
		end(ask, false, "its answer is compressed, which was not asked for");
	else
		on_readable(ask); /* what of the body came with the head is told by no event */
}

static void on_failed(void *context, const struct upstream_error *error)
{
	end(context, false, error->text);
}

static const struct upstream_events events = {
	.connected = on_connected,
	.interim = on_interim,
	.head = on_head,
	.readable = on_readable,
	.writable = on_writable,
	.failed = on_failed,
};

/* ---- where it goes, and what ---- */

/* At the credential's own upstream its `ca:` and `client:` count; elsewhere the machine's roots, and `ca:` beside them. */
static struct tls_trust *trust_of(const struct snapshot *snapshot, const struct config_credential *credential,
                                  const struct origin *endpoint, const char **why)
{
	const struct origin *upstream = &credential->upstream;
	if (upstream->tls && !upstream->wildcard && upstream->port == endpoint->port &&
	    host_equal(&upstream->host, &endpoint->host))
		return snapshot_trust(snapshot, credential, why);
	return trusts_beside(snapshot->shared->trusts, credential, why);
}

/* SPEC §7: a token_url is an exact entry. */
static bool find_destination(struct ask *ask, const struct config_credential *credential, const struct origin *endpoint)
{
	const struct snapshot *snapshot = ask->snapshot;
	bool through = dial_parent_leads(snapshot->parent, &endpoint->host, endpoint->port);
	const char *why = NULL;
	ask->destination = (struct destination){
		.tls = endpoint->tls,
		.host = endpoint->host,
		.port = endpoint->port,
		.policy = {.private_allowed = true,
		           .loopback_allowed = span_equal(host_span(&endpoint->host), SPAN("localhost")),
		           .literal_allowed = endpoint->host.kind != HOST_NAME,
		           .parent = through ? snapshot->parent : NULL},
	};
	if (!endpoint->tls)
		return true;
	ask->destination.trust = trust_of(snapshot, credential, endpoint, &why);
	if (!ask->destination.trust)
		snprintf(ask->result.why, sizeof ask->result.why, "its certificate cannot be verified: %s", why);
	return ask->destination.trust;
}

static void add(struct fields *fields, struct arena *arena, const char *name, const char *value)
{
	if (value)
		fields_add(fields, arena, span_of(name), span_of(value));
}

/* Path and query. */
static struct span target_of(const char *url)
{
	const char *host = strstr(url, "://"), *target = host ? strchr(host + 3, '/') : NULL;
	return target ? span_of(target) : SPAN("/");
}

/* GitHub wants to be told who asks. */
#define USER_AGENT "keystile/" PACKAGE_VERSION

static void send_request(struct ask *ask, const struct token_request *request)
{
	struct request head = {.method = SPAN("POST"), .minor = 1};
	struct arena *arena = &ask->arena;
	struct fields *fields = &head.fields;
	head.target = target_of(request->url);
	fields_add(fields, arena, SPAN("Host"), host_field(&ask->destination.host, ask->destination.port, ask->destination.tls, arena));
	add(fields, arena, "User-Agent", USER_AGENT);
	add(fields, arena, "Accept", request->accept);
	add(fields, arena, "Accept-Encoding", "identity");
	add(fields, arena, "Authorization", request->authorization);
	add(fields, arena, "Content-Type", request->body.length ? "application/x-www-form-urlencoded" : NULL);
	head.body = (struct body_framing){BODY_LENGTH, request->body.length};
	ask->body = arena_span(arena, request->body);
	ask->upstream = upstream_h1_start(ask->minter->pool, &ask->destination, &head, true, &events, ask);
	push(ask);
}

struct ask *ask_start(struct job *job, void (*done)(struct job *job, const struct ask_result *result))
{
	struct minter *minter = job->minter;
	struct ask *ask = memory_alloc(sizeof *ask);
	*ask = (struct ask){.minter = minter, .job = job, .done = done, .snapshot = snapshot_ref(job->snapshot),
	                    .limit.fire = on_limit, .over.run = tell};
	ask->result.secrets = ask->snapshot->secrets;
	ask->result.credential = job->credential;
	/* Bytes that it grows out of would not be zeroed. */
	buffer_room(&ask->answer, JSON_MOST);
	loop_timer_set(minter->loop, &ask->limit, ASK_TIME);
	if (find_destination(ask, job->credential, &job->request.endpoint))
		send_request(ask, &job->request);
	else
		loop_later(minter->loop, &ask->over);
	return ask;
}

void ask_cancel(struct ask *ask)
{
	ask_free(ask);
}
