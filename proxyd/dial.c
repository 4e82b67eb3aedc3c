#include "dial.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "addresses.h"
#include "dial_internal.h"
#include "dial_own.h"
#include "dial_parent_internal.h"
#include "memory.h"

#define NAMES_KEPT 2L /* s; so long one look-up serves all who ask, and so soon a name that moved is followed */
#define LOOKUPS 32
#define LOOKUPS_PER_PROFILE 8
#define LOOKUPS_KEPT 8 /* of LOOKUPS, for profiles that have none: a few that ask for dead names leave room for others */

/* Parts of libcurl's memory could be secrets. */
static void start_library(void)
{
	curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, memory_wipe_free, memory_wipe_resize, strdup, calloc);
}

/* ---- the lists ---- */

static void unlink_dial(struct dial *dial)
{
	struct dialer *dialer = dial->dialer;
	if (dialer->waiting_end == &dial->next)
		dialer->waiting_end = dial->link;
	*dial->link = dial->next;
	if (dial->next)
		dial->next->link = dial->link;
	dial->link = NULL;
}

static void link_waiting(struct dial *dial)
{
	struct dialer *dialer = dial->dialer;
	dial->next = NULL;
	dial->link = dialer->waiting_end;
	*dial->link = dial;
	dialer->waiting_end = &dial->next;
}

static void link_running(struct dial *dial)
{
	struct dialer *dialer = dial->dialer;
	dial->next = dialer->running;
	dial->link = &dialer->running;
	if (dial->next)
		dial->next->link = &dial->next;
	dialer->running = dial;
}

/* ---- look-up slots ---- */

static bool slot_is_free(const struct dial *dial)
{
	unsigned same = 0;
	if (dial->dialer->lookups >= LOOKUPS)
		return false;
	if (!dial->profile[0])
		return true;
	for (const struct dial *other = dial->dialer->running; other; other = other->next)
		same += other->holds_slot && strcmp(other->profile, dial->profile) == 0;
	return same == 0 || (same < LOOKUPS_PER_PROFILE && dial->dialer->lookups < LOOKUPS - LOOKUPS_KEPT);
}

static void release_slot(struct dial *dial)
{
	if (!dial->holds_slot)
		return;
	dial->holds_slot = false;
	dial->dialer->lookups--;
	if (dial->dialer->waiting)
		loop_later(dial->dialer->loop, &dial->dialer->kick);
}

/* ---- which addresses ---- */

/* To whom the connection itself is made. */
static const struct host *next_hop(const struct dial *dial)
{
	return dial->parent ? &dial->parent->host : &dial->host;
}

static void refuse(struct dial *dial, enum dial_failure failure, const char *what)
{
	struct dial_result *result = &dial->result;
	const struct host *hop = next_hop(dial);
	const char *whose = dial->parent ? "the parent proxy " : "";
	result->failure = failure;
	if (hop->kind == HOST_NAME)
		snprintf(result->text, sizeof result->text, "%s%.100s resolves to %s, %s, which may not be reached", whose, hop->name,
		         result->address, what);
	else
		snprintf(result->text, sizeof result->text, "%s%s is %s, which may not be reached", whose, result->address, what);
}

int dial_open(struct dial *dial, const struct sockaddr *address, socklen_t size)
{
	dial_address_text(address, dial->result.address);
	if (dial_is_own(dial->dialer->own, dial->dialer->own_count, address, size)) {
		refuse(dial, DIAL_OWN_LISTENER, "a listener of this proxy");
		return -1;
	}
	const char *what = dial_judge(address, dial->parent ? dial_tunnel_policy(dial->parent) : dial->policy);
	if (what) {
		refuse(dial, dial->parent ? DIAL_PARENT_ADDRESS : DIAL_REFUSED_ADDRESS, what);
		return -1;
	}
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (fd < 0 && errno != EAFNOSUPPORT)
		dial->out_of_files = true;
	return fd;
}

/* CURLOPT_OPENSOCKETFUNCTION: the address that is judged here is the one that is connected to. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct dial *dial = context;
	(void)purpose;
	dial->state = DIAL_CONNECTING;
	release_slot(dial);
	dial->latest = dial->done ? dial_open(dial, &address->addr, (socklen_t)address->addrlen) : -1;
	return dial->latest >= 0 ? dial->latest : CURL_SOCKET_BAD;
}

/* CURLOPT_CLOSESOCKETFUNCTION: libcurl closes what it connected with its handle, but for the socket that is given away. */
static int close_socket(void *context, curl_socket_t fd)
{
	struct dial *dial = context;
	if (fd == dial->latest)
		dial->latest = -1;
	if (fd != dial->kept)
		return close(fd);
	dial->kept = -1;
	return 0;
}

/* ---- the end of one dial ---- */

/* libcurl's handle knows the password, and goes with it. */
static void forget_parent(struct dial *dial)
{
	if (!dial->parent)
		return;
	if (dial->easy)
		curl_easy_cleanup(dial->easy);
	dial->easy = NULL;
	dial_parent_unref(dial->parent);
	dial->parent = NULL;
}

static void recycle(struct dial *dial)
{
	struct dialer *dialer = dial->dialer;
	loop_timer_stop(dialer->loop, &dial->limit);
	loop_later_cancel(dialer->loop, &dial->failed);
	if (dial->state == DIAL_DIRECT)
		dial_direct_stop(dial);
	else if (dial->state == DIAL_LOOKING || dial->state == DIAL_CONNECTING)
		curl_multi_remove_handle(dialer->multi, dial->easy);
	if (dial->kept >= 0)
		abort(); /* libcurl would close a socket that is somebody else's by then */
	forget_parent(dial);
	addresses_unref(dial->policy.addresses);
	dial->policy.addresses = NULL;
	release_slot(dial);
	unlink_dial(dial);
	dial->next = dialer->spare;
	dialer->spare = dial;
}

static void settle(struct dial *dial)
{
	struct dial_result result = dial->result;
	void (*done)(void *context, const struct dial_result *result) = dial->done;
	void *context = dial->context;
	recycle(dial);
	if (done)
		done(context, &result);
}

static void settle_failed(struct dial *dial, enum dial_failure failure, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void settle_failed(struct dial *dial, enum dial_failure failure, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	dial->result.failure = failure;
	vsnprintf(dial->result.text, sizeof dial->result.text, format, arguments);
	va_end(arguments);
	settle(dial);
}

static void settle_timeout(struct dial *dial)
{
	if (dial->parent) {
		dial_tunnel_explain_late(dial);
		settle(dial);
		return;
	}
	settle_failed(dial, DIAL_TIMEOUT, "no connection to %.100s port %u within %g s%s", dial->host.name, dial->port,
	              (double)dial->dialer->connect_limit / 1000,
	              dial->state >= DIAL_CONNECTING ? "" : ": its name was not resolved in time");
}

void dial_settle_connected(struct dial *dial, int fd)
{
	dial->result.failure = DIAL_OK;
	dial->result.text[0] = 0;
	dial->result.fd = fd;
	settle(dial);
}

static void settle_refused(struct dial *dial, const char *why)
{
	if (dial->result.failure != DIAL_OK) /* one address was refused: that tells more than why the others failed */
		settle(dial);
	else if (dial->out_of_files)
		settle_failed(dial, DIAL_RESOURCES, "no socket could be made for %.100s", dial->host.name);
	else
		settle_failed(dial, DIAL_CONNECT, "cannot connect to %.100s port %u: %s", dial->host.name, dial->port, why);
}

void dial_settle_errno(struct dial *dial, int error)
{
	settle_refused(dial, strerror(error));
}

void dial_fail_later(struct dial *dial, int error)
{
	dial->kept_errno = error;
	loop_later(dial->dialer->loop, &dial->failed);
}

static void on_failed(struct loop_task *task)
{
	struct dial *dial = OWNER(task, struct dial, failed);
	dial_settle_errno(dial, dial->kept_errno);
}

static void take_connected(struct dial *dial)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	curl_easy_getinfo(dial->easy, CURLINFO_ACTIVESOCKET, &fd);
	if (fd == CURL_SOCKET_BAD) {
		settle_failed(dial, DIAL_CONNECT, "the connection to %.100s is gone", dial->host.name);
		return;
	}
	dial->kept = fd;
	dial_settle_connected(dial, fd);
}

void dial_finished(struct dial *dial, int code)
{
	long error = 0;
	if (code == CURLE_OK) {
		take_connected(dial);
		return;
	}
	curl_easy_getinfo(dial->easy, CURLINFO_OS_ERRNO, &error);
	dial->out_of_files |= code == CURLE_OUT_OF_MEMORY;
	if (code == CURLE_OPERATION_TIMEDOUT) {
		settle_timeout(dial);
	} else if (dial->parent) {
		dial_tunnel_explain(dial, code);
		settle(dial);
	} else if (code == CURLE_COULDNT_RESOLVE_HOST) {
		settle_failed(dial, DIAL_DNS, "cannot resolve %.100s", dial->host.name);
	} else {
		settle_refused(dial, error ? strerror((int)error) : curl_easy_strerror((CURLcode)code));
	}
}

static void limit_reached(struct loop_timer *timer)
{
	settle_timeout(OWNER(timer, struct dial, limit));
}

/* ---- starting ---- */

static CURL *make_easy(struct dial *dial)
{
	CURL *easy = curl_easy_init();
	if (!easy) {
		fputs("keystile: out of memory\n", stderr);
		abort();
	}
	curl_easy_setopt(easy, CURLOPT_PRIVATE, dial);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_DNS_CACHE_TIMEOUT, NAMES_KEPT);
	curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, dial);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, dial);
	return easy;
}

static bool looks_up(const struct dial *dial)
{
	return next_hop(dial)->kind == HOST_NAME;
}

/* Hands the dial to libcurl, which starts in the next round. */
static void begin(struct dial *dial)
{
	char authority[AUTHORITY_TEXT], url[AUTHORITY_TEXT + 16];
	struct dialer *dialer = dial->dialer;
	if (!dial->easy)
		dial->easy = make_easy(dial);
	authority_format(&dial->host, dial->port, authority);
	snprintf(url, sizeof url, "http://%s/", authority);
	curl_easy_setopt(dial->easy, CURLOPT_URL, url);
	curl_easy_setopt(dial->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)dialer->connect_limit);
	if (dial->parent)
		dial_tunnel_prepare(dial);
	dial->state = DIAL_LOOKING;
	dial->holds_slot = looks_up(dial);
	dialer->lookups += dial->holds_slot;
	link_running(dial);
	curl_multi_add_handle(dialer->multi, dial->easy);
}

static void begin_waiting(struct dialer *dialer)
{
	struct dial *next;
	for (struct dial *dial = dialer->waiting; dial; dial = next) {
		next = dial->next;
		if (dialer->lookups >= LOOKUPS)
			return;
		if (!slot_is_free(dial))
			continue;
		unlink_dial(dial);
		begin(dial);
	}
}

static void kicked(struct loop_task *task)
{
	struct dialer *dialer = OWNER(task, struct dialer, kick);
	begin_waiting(dialer);
	dial_loop_run(dialer);
}

static struct dial *take_dial(struct dialer *dialer)
{
	struct dial *dial = dialer->spare;
	void *easy = dial ? dial->easy : NULL;
	if (dial)
		dialer->spare = dial->next;
	else
		dial = memory_alloc(sizeof *dial);
	*dial = (struct dial){
		.dialer = dialer,
		.easy = easy,
		.limit.fire = limit_reached,
		.failed.run = on_failed,
		.kept = -1,
		.latest = -1,
		.direct.fd = -1,
		.result.fd = -1,
	};
	return dial;
}

struct dial *dial_start(struct dialer *dialer, const struct host *host, uint16_t port, struct dial_policy policy,
                        const char *profile, void (*done)(void *context, const struct dial_result *result),
                        void *context)
{
	struct dial *dial = take_dial(dialer);
	dial->host = *host;
	dial->port = port;
	dial->policy = policy;
	dial->parent = dial_parent_ref(policy.parent);
	addresses_ref(policy.addresses);
	snprintf(dial->profile, sizeof dial->profile, "%s", profile ? profile : "");
	dial->done = done;
	dial->context = context;
	loop_timer_set(dialer->loop, &dial->limit, dialer->connect_limit);
	if (dial->parent && !dial_tunnel_may(dial)) {
		link_running(dial);
		dial->state = DIAL_REFUSED;
		dial_fail_later(dial, 0);
	} else if (host->kind != HOST_NAME && !dial->parent) {
		link_running(dial);
		dial_direct_begin(dial);
	} else if (!looks_up(dial) || slot_is_free(dial)) {
		begin(dial);
	} else {
		link_waiting(dial);
	}
	return dial;
}

/* A look-up that nobody waits for runs on in its slot, since its thread does too: what clients break off would
 * otherwise start threads without bound. */
void dial_cancel(struct dial *dial)
{
	dial->done = NULL;
	if (dial->state != DIAL_LOOKING || !dial->holds_slot)
		recycle(dial);
}

void dialer_prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, start_library);
}

struct dialer *dialer_new(struct loop *loop, const struct sockaddr_storage *own, size_t own_count,
                          uint64_t connect_limit, struct fault *fault)
{
	dialer_prepare();
	struct dialer *dialer = memory_alloc(sizeof *dialer);
	*dialer = (struct dialer){
		.loop = loop,
		.own = own,
		.own_count = own_count,
		.connect_limit = connect_limit,
		.kick.run = kicked,
		.waiting_end = &dialer->waiting,
	};
	if (dial_loop_start(dialer))
		return dialer;
	fault_set(fault, FAULT_IO, "libcurl does not start");
	free(dialer);
	return NULL;
}

void dialer_set_limit(struct dialer *dialer, uint64_t connect_limit)
{
	dialer->connect_limit = connect_limit;
}

void dialer_free(struct dialer *dialer)
{
	if (!dialer)
		return;
	while (dialer->waiting)
		recycle(dialer->waiting);
	while (dialer->running)
		recycle(dialer->running);
	while (dialer->spare) {
		struct dial *dial = dialer->spare;
		dialer->spare = dial->next;
		if (dial->easy)
			curl_easy_cleanup(dial->easy);
		free(dial);
	}
	dial_loop_stop(dialer);
	loop_later_cancel(dialer->loop, &dialer->kick);
	free(dialer);
}
