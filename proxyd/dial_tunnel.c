/* A dial that goes through the parent proxy: what may be asked of it, how libcurl asks, and what it answered, in words. */
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>

#include "dial_internal.h"
#include "dial_own.h"
#include "dial_parent_internal.h"

#define ANSWER_MOST (32 * 1024) /* bytes of the parent's head */

static void explain(struct dial *dial, enum dial_failure failure, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void explain(struct dial *dial, enum dial_failure failure, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	dial->result.failure = failure;
	vsnprintf(dial->result.text, sizeof dial->result.text, format, arguments);
	va_end(arguments);
}

/* ---- what may be asked ---- */

static bool judge_address(struct dial *dial, const struct host *host)
{
	struct sockaddr_storage address;
	socklen_t size = host_sockaddr(host, dial->port, &address);
	const struct sockaddr *any = (const struct sockaddr *)&address;
	dial_address_text(any, dial->result.address);
	bool own = dial_is_own(dial->dialer->own, dial->dialer->own_count, any, size);
	const char *what = own ? "a listener of this proxy" : dial_judge(any, dial->policy);
	if (what)
		explain(dial, own ? DIAL_OWN_LISTENER : DIAL_REFUSED_ADDRESS, "%.100s is %s, which may not be reached",
		        dial->host.name, what);
	return !what;
}

/* The parent resolves names, and would find itself by these; where it is this machine, our listeners too, of either family. */
static bool judge_loopback_name(struct dial *dial)
{
	struct host loopback;
	struct sockaddr_storage ipv6;
	host_parse(SPAN("::1"), &loopback, NULL);
	socklen_t size = host_sockaddr(&loopback, dial->port, &ipv6);
	bool own = dial_is_own(dial->dialer->own, dial->dialer->own_count, (const struct sockaddr *)&ipv6, size);
	if (!own)
		host_parse(SPAN("127.0.0.1"), &loopback, NULL);
	return judge_address(dial, &loopback);
}

static bool is_self(const struct dial *dial)
{
	const struct dial_parent *parent = dial->parent;
	for (size_t i = 0; i < parent->self_count; i++)
		if (parent->selves[i].port == dial->port && host_equal(&parent->selves[i].host, &dial->host))
			return true;
	return false;
}

static bool judge_destination(struct dial *dial)
{
	if (is_self(dial)) {
		explain(dial, DIAL_OWN_LISTENER, "%.100s is where this proxy itself is reached", dial->host.name);
		return false;
	}
	if (dial->host.kind != HOST_NAME)
		return judge_address(dial, &dial->host);
	return !host_is_loopback(&dial->host) || judge_loopback_name(dial);
}

bool dial_tunnel_may(struct dial *dial)
{
	const struct dial_parent *parent = dial->parent;
	if (!judge_destination(dial))
		return false;
	if (parent->why)
		explain(dial, DIAL_PARENT_WAITS, "the parent proxy %.100s cannot be used: %.120s", parent->name, parent->why);
	return !parent->why;
}

/* ---- how it is asked ---- */

struct dial_policy dial_tunnel_policy(const struct dial_parent *parent)
{
	return (struct dial_policy){
		.private_allowed = true,
		.loopback_allowed = span_equal(host_span(&parent->host), SPAN("localhost")),
		.literal_allowed = parent->host.kind != HOST_NAME,
	};
}

static bool is_success(long status)
{
	return status >= 200 && status < 300;
}

/* CURLOPT_XFERINFOFUNCTION, which libcurl calls for each byte of the answer, of which it reads as many as there are: the body of
 * a refusal, or a head without end, would hold the worker for as long as the parent sends, and no timer would fire. Its status
 * is all that is wanted of a refusal. */
static int watch_answer(void *context, curl_off_t down, curl_off_t downloaded, curl_off_t up, curl_off_t uploaded)
{
	struct dial *dial = context;
	long status = 0;
	(void)down, (void)downloaded, (void)up, (void)uploaded;
	if (dial->state != DIAL_CONNECTING)
		return 0;
	curl_easy_getinfo(dial->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	return (status > 0 && !is_success(status)) || ++dial->answered > ANSWER_MOST;
}

/* Basic at once (RFC 7617), never by way of a 407: there is one proxy to say it to, and it may not be a stronger one that picks.
 * Without a NOPROXY of our own libcurl would go by $no_proxy, and to what that names without a tunnel. */
void dial_tunnel_prepare(struct dial *dial)
{
	const struct dial_parent *parent = dial->parent;
	CURL *easy = dial->easy;
	char url[AUTHORITY_TEXT + 16];
	snprintf(url, sizeof url, "%s://%s", parent->socks ? "socks5h" : "http", parent->name);
	curl_easy_setopt(easy, CURLOPT_PROXY, url);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
	curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	curl_easy_setopt(easy, CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
	curl_easy_setopt(easy, CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC);
	curl_easy_setopt(easy, CURLOPT_PROXYUSERPWD, parent->coded);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, watch_answer);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, dial);
	/* Ours comes first, and finds how far it was. */
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)dial->dialer->connect_limit + 1000);
}

/* ---- what it answered ---- */

/* What its status says (RFC 9110 §9.3.6, §15). */
static enum dial_failure failure_of(long status)
{
	switch (status) {
	case 401: /* tinyproxy, to a wrong password */
	case 407: return DIAL_PARENT_AUTH;
	case 504: return DIAL_PARENT_TIMEOUT;
	case 500:
	case 502:
	case 503: return DIAL_PARENT_FAILED;
	default: return DIAL_PARENT_REFUSED;
	}
}

static void explain_answer(struct dial *dial, long status)
{
	const char *name = dial->parent->name;
	enum dial_failure failure = failure_of(status);
	if (failure == DIAL_PARENT_AUTH)
		explain(dial, failure, "the parent proxy %.100s %s (%ld)", name,
		        dial->parent->coded ? "does not take the user and password that `auth` of `parent:` gives"
		                            : "asks for a user and password, and `parent:` has no `auth`", status);
	else
		explain(dial, failure, "the parent proxy %.100s answered %ld to a CONNECT to %.100s port %u", name, status,
		        dial->host.name, dial->port);
}

/* SOCKS5 (RFC 1928 §6, RFC 1929) is libcurl's alone. */
static enum dial_failure failure_of_socks(long reply)
{
	switch (reply) {
	case CURLPX_USER_REJECTED:
	case CURLPX_LONG_USER:
	case CURLPX_LONG_PASSWD:
	case CURLPX_NO_AUTH: return DIAL_PARENT_AUTH;
	case CURLPX_REPLY_NOT_ALLOWED:
	case CURLPX_REPLY_COMMAND_NOT_SUPPORTED:
	case CURLPX_REPLY_ADDRESS_TYPE_NOT_SUPPORTED: return DIAL_PARENT_REFUSED;
	case CURLPX_REPLY_CONNECTION_REFUSED:
	case CURLPX_REPLY_GENERAL_SERVER_FAILURE:
	case CURLPX_REPLY_HOST_UNREACHABLE:
	case CURLPX_REPLY_NETWORK_UNREACHABLE:
	case CURLPX_REPLY_TTL_EXPIRED:
	case CURLPX_REPLY_UNASSIGNED: return DIAL_PARENT_FAILED;
	default: return DIAL_PARENT_DOWN;
	}
}

static void explain_socks(struct dial *dial)
{
	const char *name = dial->parent->name;
	long reply = 0;
	curl_easy_getinfo(dial->easy, CURLINFO_PROXY_ERROR, &reply);
	enum dial_failure failure = failure_of_socks(reply);
	if (failure == DIAL_PARENT_AUTH)
		explain(dial, failure, "the parent proxy %.100s %s", name,
		        dial->parent->coded ? "does not let us in by what `auth` of `parent:` gives"
		                            : "asks for a user and password, and `parent:` has no `auth`");
	else if (failure == DIAL_PARENT_DOWN)
		explain(dial, failure, "the parent proxy %.100s gave no answer that is SOCKS5", name);
	else
		explain(dial, failure, "the parent proxy %.100s %s to %.100s port %u", name,
		        failure == DIAL_PARENT_REFUSED ? "does not connect" : "could not connect", dial->host.name, dial->port);
}

static bool is_connected(const struct dial *dial)
{
	struct sockaddr_storage peer;
	socklen_t size = sizeof peer;
	return dial->state == DIAL_CONNECTING && dial->latest >= 0 &&
	       getpeername(dial->latest, (struct sockaddr *)&peer, &size) == 0;
}

/* What libcurl says of a connection that stood. */
static bool was_connected(int code)
{
	return code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR || code == CURLE_GOT_NOTHING ||
	       code == CURLE_ABORTED_BY_CALLBACK;
}

void dial_tunnel_explain(struct dial *dial, int code)
{
	const char *name = dial->parent->name;
	long status = 0, error = 0;
	curl_easy_getinfo(dial->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	curl_easy_getinfo(dial->easy, CURLINFO_OS_ERRNO, &error);
	if (is_success(status))
		explain(dial, DIAL_PARENT_DOWN, "the parent proxy %.100s gave an answer (%ld) without an end, or one too long", name,
		        status);
	else if (status > 0)
		explain_answer(dial, status);
	else if (code == CURLE_PROXY)
		explain_socks(dial);
	else if (was_connected(code))
		explain(dial, DIAL_PARENT_DOWN, "the parent proxy %.100s gave no answer that is HTTP", name);
	else if (dial->result.failure != DIAL_OK)
		return; /* one address of it was refused: that tells more than why the others failed */
	else if (code == CURLE_COULDNT_RESOLVE_PROXY)
		explain(dial, DIAL_DNS, "cannot resolve the parent proxy %.100s", dial->parent->host.name);
	else if (dial->out_of_files)
		explain(dial, DIAL_RESOURCES, "no socket could be made for the parent proxy %.100s", name);
	else
		explain(dial, DIAL_PARENT_DOWN, "cannot connect to the parent proxy %.100s: %s", name,
		        error ? strerror((int)error) : curl_easy_strerror((CURLcode)code));
}

void dial_tunnel_explain_late(struct dial *dial)
{
	const char *name = dial->parent->name;
	double seconds = (double)dial->dialer->connect_limit / 1000;
	long status = 0;
	if (dial->easy)
		curl_easy_getinfo(dial->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	if (status > 0 && !is_success(status))
		explain_answer(dial, status);
	else if (is_connected(dial))
		explain(dial, DIAL_PARENT_TIMEOUT, "the parent proxy %.100s did not connect to %.100s port %u within %g s", name,
		        dial->host.name, dial->port, seconds);
	else
		explain(dial, DIAL_PARENT_TIMEOUT, "no connection to the parent proxy %.100s within %g s%s", name, seconds,
		        dial->state == DIAL_CONNECTING ? "" : ": its name was not resolved in time");
}
