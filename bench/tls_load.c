/*
 * Load for proxies that end TLS. bench/intercept.py builds and runs it.
 *
 *   tls_load h1|h2|full|resumed PORT HEAD CONNECTIONS STREAMS MILLISECONDS AUTHORITY PATH ANSWER POSTED
 *
 * h1 and h2 open so many connections to what listens on 127.0.0.1:PORT, and write a line. Once a line comes on standard
 * input, they ask for PATH until the time is over, on each connection (of HTTP/2: STREAMS times at once) and write a second
 * line, as tunnel_load does: how many answers came, the nanoseconds in all, median and 99th percentile. Then connections end.
 *
 * full and resumed do the same with handshakes: a connection says its end as soon as hands are shaken, and counts once the
 * server has said its own. To be resumed, each has fetched a ticket before.
 *
 * HEAD is a file with what opens a tunnel, empty where a connection is one; ANSWER one with the body that each request must
 * get, and POSTED the body of a POST, or empty. TLS is 1.3 with AES-128-GCM and X25519, so that all proxies have the same work.
 */
#include "tls_load.h"

enum { FILE_ROOM = 1 << 20, INPUT_ROOM = 256 * 1024 };

static const struct {
	const char *name;
	const struct protocol *protocol; /* what is spoken; handshakes alone need none */
	const struct protocol *offered;
	bool resumes;
} modes[] = {
	{"h1", &protocol_h1, &protocol_h1, false},
	{"h2", &protocol_h2, &protocol_h2, false},
	{"full", NULL, &protocol_h1, false},
	{"resumed", NULL, &protocol_h1, true},
}, *mode;

static int poller;
static uint16_t port;
static char connect_head[CONNECT_ROOM], name[256];
static size_t connect_size;
static gnutls_certificate_credentials_t credentials;
static gnutls_priority_t priority;
static char input[INPUT_ROOM]; /* of the connection whose event it is: all of it is taken before the next one's */
static size_t input_size, input_taken;
static bool input_over; /* and that was noticed: GnuTLS says "again" behind a ticket, too, with more in its buffer */
static size_t client_count, ready_count, live_count;
static uint64_t started, ends, done;
static struct times times;

static bool time_is_left(void)
{
	return now() < ends;
}

bool (*is_time_left)(void) = time_is_left;

/* --- bytes --- */

static ssize_t pull(gnutls_transport_ptr_t context, void *bytes, size_t size)
{
	struct client *client = context;
	size_t left = input_size - input_taken;
	if (left == 0) {
		input_over = true;
		gnutls_transport_set_errno(client->tls, EAGAIN);
		return -1;
	}
	if (size > left)
		size = left;
	memcpy(bytes, input + input_taken, size);
	input_taken += size;
	return (ssize_t)size;
}

static void put_out(struct client *client, const void *bytes, size_t size)
{
	if (client->out_size + size > client->out_room) {
		client->out_room = (client->out_size + size) * 2;
		client->out = enough(client->out, client->out_room, 1);
	}
	memcpy(client->out + client->out_size, bytes, size);
	client->out_size += size;
}

static ssize_t push(gnutls_transport_ptr_t context, const void *bytes, size_t size)
{
	put_out(context, bytes, size);
	return (ssize_t)size;
}

static void flush(struct client *client)
{
	if (client->out_sent < client->out_size) {
		ssize_t sent = send(client->fd, client->out + client->out_sent, client->out_size - client->out_sent, MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && client->phase != LEAVING)
			fail("sending: %s", strerror(errno));
		client->out_sent += sent > 0 ? (size_t)sent : 0;
	}
	bool left = client->out_sent < client->out_size;
	if (left != client->writing)
		watch(poller, EPOLL_CTL_MOD, client->fd, left ? EPOLLIN | EPOLLOUT : EPOLLIN, client);
	client->writing = left;
	if (!left)
		client->out_size = client->out_sent = 0;
}

void say(struct client *client, const void *bytes, size_t size)
{
	if (gnutls_record_send(client->tls, bytes, size) != (ssize_t)size)
		fail("TLS takes no bytes");
}

/* --- one connection --- */

static void dial(struct client *client)
{
	client->phase = CONNECTING;
	client->began = now();
	client->head_size = client->out_size = client->out_sent = 0;
	client->writing = false;
	client->fd = dial_loopback(poller, port, client);
}

static void begin_handshake(struct client *client)
{
	const gnutls_datum_t protocol = {(unsigned char *)mode->offered->name, (unsigned)strlen(mode->offered->name)};
	client->phase = SHAKING;
	if (gnutls_init(&client->tls, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) ||
	    gnutls_priority_set(client->tls, priority) || gnutls_alpn_set_protocols(client->tls, &protocol, 1, 0) ||
	    gnutls_credentials_set(client->tls, GNUTLS_CRD_CERTIFICATE, credentials) ||
	    gnutls_server_name_set(client->tls, GNUTLS_NAME_DNS, name, strlen(name)))
		fail("GnuTLS makes no session");
	gnutls_transport_set_ptr(client->tls, client);
	gnutls_transport_set_pull_function(client->tls, pull);
	gnutls_transport_set_push_function(client->tls, push);
	if (client->ticket.data)
		gnutls_session_set_data(client->tls, client->ticket.data, client->ticket.size);
	gnutls_handshake(client->tls); /* the hello */
}

static void leave(struct client *client)
{
	client->phase = LEAVING;
	gnutls_bye(client->tls, GNUTLS_SHUT_WR);
}

/* Of those that wait for all others. */
static void is_ready(struct client *client)
{
	client->phase = WAITING;
	ready_count++;
}

static void shaken(struct client *client)
{
	bool resumed = gnutls_session_is_resumed(client->tls);
	if (resumed != (client->ticket.data != NULL))
		fail(resumed ? "a session was resumed without a ticket" : "the server does not take its ticket");
	if (mode->protocol) {
		mode->protocol->open(client);
		is_ready(client);
	} else if (mode->resumes && !client->ticket.data) {
		client->phase = FETCHING_TICKET;
	} else {
		leave(client);
	}
}

static void shake_hands(struct client *client)
{
	int result = gnutls_handshake(client->tls);
	if (result == 0)
		shaken(client);
	else if (gnutls_error_is_fatal(result))
		fail("the handshake: %s", gnutls_strerror(result));
}

static void ended(struct client *client)
{
	if (client->phase != LEAVING)
		fail("the proxy closed a connection");
	gnutls_deinit(client->tls);
	close(client->fd);
	if (mode->protocol || (started && !time_is_left())) {
		live_count--;
		return;
	}
	if (!started) { /* it was opened for the ticket */
		is_ready(client);
		return;
	}
	answered(client, client->began);
	dial(client);
}

static void begin(struct client *client)
{
	if (!mode->protocol) {
		dial(client);
		return;
	}
	client->phase = TALKING;
	mode->protocol->start(client);
	flush(client);
}

void answered(struct client *client, uint64_t began)
{
	(void)client;
	done++;
	record(&times, began);
}

/* --- what comes --- */

static void take_answer(struct client *client)
{
	if (client->head_size + input_size >= sizeof client->head)
		fail("the answer to CONNECT does not end");
	memcpy(client->head + client->head_size, input, input_size);
	client->head_size += input_size;
	client->head[client->head_size] = 0;
	size_t size = connect_answer(client->head);
	if (size == 0)
		return;
	if (size != client->head_size)
		fail("bytes in a tunnel that nobody sent");
	client->head_size = 0;
	input_taken = input_size;
	begin_handshake(client);
}

/* Decrypts what there is. */
static void take_records(struct client *client)
{
	static char bytes[16384];
	ssize_t count;
	do {
		count = gnutls_record_recv(client->tls, bytes, sizeof bytes);
		if (count > 0 && (client->phase == TALKING || client->phase == WAITING))
			mode->protocol->take(client, bytes, (size_t)count);
		else if (count > 0 && client->phase != LEAVING)
			fail("bytes that nobody asked for");
	} while (count > 0 || (count == GNUTLS_E_AGAIN && !input_over));
	if (client->phase == FETCHING_TICKET && (gnutls_session_get_flags(client->tls) & GNUTLS_SFLAGS_SESSION_TICKET)) {
		gnutls_session_get_data2(client->tls, &client->ticket);
		leave(client);
	}
	if (count == 0 && client->phase != LEAVING)
		fail("the proxy ended a connection");
	if (count < 0 && gnutls_error_is_fatal((int)count) && client->phase != LEAVING)
		fail("TLS: %s", gnutls_strerror((int)count));
}

static void take_input(struct client *client)
{
	ssize_t count = recv(client->fd, input, sizeof input, 0);
	if (count < 0 && errno == EAGAIN)
		return;
	if (count <= 0) {
		ended(client);
		return;
	}
	input_size = (size_t)count;
	input_taken = 0;
	input_over = false;
	if (client->phase == ASKING)
		take_answer(client);
	else if (client->phase == SHAKING)
		shake_hands(client);
	if (client->phase >= FETCHING_TICKET && !input_over)
		take_records(client);
	if (client->phase == TALKING && client->open == 0 && !time_is_left()) {
		mode->protocol->stop(client);
		leave(client);
	}
	flush(client);
}

static void connected(struct client *client)
{
	must_be_connected(client->fd);
	watch(poller, EPOLL_CTL_MOD, client->fd, EPOLLIN, client);
	if (connect_size) {
		client->phase = ASKING;
		put_out(client, connect_head, connect_size);
	} else {
		begin_handshake(client);
	}
	flush(client);
}

static void wait_and_serve(void)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(poller, events, EVENTS, QUIET_MS);
	if (count == 0)
		fail("nothing moved for %d s", QUIET_MS / 1000);
	for (int i = 0; i < count; i++) {
		struct client *client = events[i].data.ptr;
		if (client->phase == CONNECTING) {
			connected(client);
			continue;
		}
		if (events[i].events & EPOLLOUT)
			flush(client);
		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			take_input(client);
	}
}

/* --- all of it --- */

static void prepare_tls(void)
{
	if (gnutls_certificate_allocate_credentials(&credentials) ||
	    gnutls_priority_init(&priority,
	                         "NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM:-GROUP-ALL:+GROUP-X25519", NULL))
		fail("GnuTLS does not start");
}

static void open_all(struct client *clients)
{
	char line[16];
	for (size_t i = 0; i < client_count && (mode->protocol || mode->resumes); i++)
		dial(&clients[i]);
	while (ready_count < client_count && (mode->protocol || mode->resumes))
		wait_and_serve();
	puts("open");
	fflush(stdout);
	if (!fgets(line, sizeof line, stdin))
		fail("nobody said when to begin");
}

int main(int count, char **words)
{
	static char answer[FILE_ROOM], posted[FILE_ROOM];
	if (count != 11)
		fail("usage: tls_load h1|h2|full|resumed PORT HEAD CONNECTIONS STREAMS MILLISECONDS AUTHORITY PATH ANSWER POSTED");
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (!strcmp(words[1], modes[i].name))
			mode = &modes[i];
	if (!mode)
		fail("%s: h1, h2, full or resumed is expected", words[1]);
	port = (uint16_t)number(words[2]);
	connect_size = load_file(words[3], connect_head, sizeof connect_head);
	client_count = live_count = number(words[4]);
	job = (struct job){.authority = words[7], .path = words[8], .streams = number(words[5]), .answer = answer, .posted = posted};
	job.answer_size = load_file(words[9], answer, sizeof answer);
	job.posted_size = load_file(words[10], posted, sizeof posted);
	snprintf(name, sizeof name, "%.*s", (int)strcspn(job.authority, ":"), job.authority);
	prepare_tls();
	poller = epoll_create1(EPOLL_CLOEXEC);
	struct client *clients = enough(NULL, client_count, sizeof *clients);
	memset(clients, 0, client_count * sizeof *clients);
	open_all(clients);
	started = now();
	ends = started + number(words[6]) * 1000000;
	for (size_t i = 0; i < client_count; i++)
		begin(&clients[i]);
	while (time_is_left())
		wait_and_serve();
	report(done, started, &times);
	while (live_count)
		wait_and_serve();
	return 0;
}
