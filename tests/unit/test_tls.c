/* TLS with our own server: who shakes hands with it, in which protocol, for which name; what it says of those who do not. */
#include "tls_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/wait.h>

#include "mint_internal.h"
#include "tls_internal.h"

#define PATIENCE 20000 /* ms; far more than anything here takes */

static const struct {
	const char *asked;
	const char *sni; /* NULL: an address is not asked for */
	bool client_h2, server_h2, h2;
} shakes[] = {
	{"api.test", "api.test", true, true, true},
	{"api.test", "api.test", true, false, false},
	{"api.test", "api.test", false, true, false},
	{"api.test", "api.test", false, false, false},
	{"xn--bcher-kva.example", "xn--bcher-kva.example", true, true, true},
	{"192.0.2.7", NULL, true, true, true},
	{"2001:db8::7", NULL, true, true, true},
};

static void test_shake(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof shakes / sizeof *shakes; i++) {
		struct pair pair;
		char byte;
		size_t count;
		connect_pair(&pair, trust, shakes[i].asked, shakes[i].asked, shakes[i].client_h2, shakes[i].server_h2);
		assert_string_equal(pair.client_fault.text, "");
		assert_string_equal(pair.server_fault.text, "");
		assert_int_equal(tls_is_h2(pair.client), shakes[i].h2);
		assert_int_equal(tls_is_h2(pair.server), shakes[i].h2);
		if (shakes[i].sni)
			assert_string_equal(tls_server_name(pair.server), shakes[i].sni);
		else
			assert_null(tls_server_name(pair.server));
		say(pair.client, pair.server, "question");
		say(pair.server, pair.client, "answer");
		tls_shut(pair.client);
		assert_int_equal(tls_read(pair.server, &byte, 1, &count), TLS_CLOSED);
		say(pair.server, pair.client, "last words");
		tls_shut(pair.server);
		assert_int_equal(tls_read(pair.client, &byte, 1, &count), TLS_CLOSED);
		close_pair(&pair);
	}
}

static void write_all(struct tls *tls, const char *text)
{
	size_t count;
	assert_int_equal(tls_write(tls, text, strlen(text), &count), TLS_OK);
	assert_int_equal(count, strlen(text));
}

/* What is read up to `size` bytes, and whether an event will tell of what comes next. */
static void expect_read(struct tls *tls, size_t size, const char *text, bool drained)
{
	char bytes[64];
	size_t count;
	assert_int_equal(tls_read(tls, bytes, size, &count), TLS_OK);
	assert_int_equal(count, strlen(text));
	assert_memory_equal(bytes, text, count);
	assert_int_equal(tls_is_drained(tls), drained);
}

/* Only a read that has found the socket's end tells of it: for one from within, an event may have come since. */
static void test_drained(void **state)
{
	struct pair pair;
	(void)state;
	connect_pair(&pair, trust, "api.test", "api.test", false, false);
	write_all(pair.client, "whole");
	expect_read(pair.server, 64, "whole", true);
	write_all(pair.client, "in two pieces");
	expect_read(pair.server, 7, "in two ", false);
	expect_read(pair.server, 64, "pieces", false);
	write_all(pair.client, "two");
	write_all(pair.client, "records");
	expect_read(pair.server, 64, "two", false);
	expect_read(pair.server, 64, "records", false);
	close_pair(&pair);
}

/* --- resumption --- */

static bool resumes(const char *asked, const char *leaf)
{
	struct pair pair;
	connect_pair(&pair, trust, asked, leaf, true, true);
	assert_string_equal(pair.server_fault.text, "");
	bool resumed = gnutls_session_is_resumed(pair.server->session);
	assert_int_equal(resumed, gnutls_session_is_resumed(pair.client->session) != 0);
	say(pair.server, pair.client, "ticket"); /* is read on the way */
	close_pair(&pair);
	return resumed;
}

static void test_resumed(void **state)
{
	(void)state;
	assert_false(resumes("r.test", "r.test"));
	assert_true(resumes("r.test", "r.test"));
	assert_true(resumes("r.test", "r.test"));
	assert_false(resumes("s.test", "s.test"));
	assert_true(resumes("s.test", "s.test"));
}

static const char *const visited[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"};

/* One connection where the certificate of `leaf` stands, by a client that asks for `name`. It shows the ticket, if there is
 * one, else keeps what it gets. Was it resumed? */
static bool visit(const char *version, const char *leaf, const char *name, gnutls_datum_t *ticket)
{
	struct pair pair;
	open_pair(&pair);
	pair.client = tls_client_new(trust, pair.fds[0], "own.test", true, &pair.client_fault);
	gnutls_priority_set_direct(pair.client->session, version, NULL);
	if (ticket->data)
		assert_int_equal(gnutls_session_set_data(pair.client->session, ticket->data, ticket->size), 0);
	gnutls_server_name_set(pair.client->session, GNUTLS_NAME_DNS, name, strlen(name));
	gnutls_session_set_verify_cert(pair.client->session, leaf, 0);
	pair.server = serve(pair.fds[1], leaf, true);
	shake(&pair);
	assert_string_equal(pair.server_fault.text, "");
	assert_string_equal(tls_server_name(pair.server), name);
	bool resumed = gnutls_session_is_resumed(pair.server->session) != 0;
	say(pair.server, pair.client, "ticket");
	if (!ticket->data)
		assert_int_equal(gnutls_session_get_data2(pair.client->session, ticket), 0);
	pair.client->ticket_kept = true;
	close_pair(&pair);
	return resumed;
}

/* The ticket of one name, shown where another name's certificate stands: it is as if there were none. */
static void test_foreign_ticket(void **state)
{
	(void)state;
	for (size_t v = 0; v < 2; v++) {
		gnutls_datum_t ticket = {0};
		assert_false(visit(visited[v], "own.test", "own.test", &ticket));
		assert_true(visit(visited[v], "own.test", "own.test", &ticket));
		assert_false(visit(visited[v], "other.test", "other.test", &ticket));
		gnutls_free(ticket.data);
	}
}

/* Resumed or not with the ticket of its leaf, but asking for another name: visit() sees that the name is told that came now. */
static void test_name_of_now(void **state)
{
	(void)state;
	for (size_t v = 0; v < 2; v++) {
		gnutls_datum_t ticket = {0};
		visit(visited[v], "own.test", "own.test", &ticket);
		visit(visited[v], "own.test", "other.test", &ticket);
		gnutls_free(ticket.data);
	}
}

/* --- who does not shake hands --- */

static void test_untrusted(void **state)
{
	(void)state;
	struct pair pair;
	connect_pair(&pair, stranger, "api.test", "api.test", true, true);
	assert_int_equal(pair.server_fault.code, FAULT_BROKEN);
	assert_non_null(strstr(pair.server_fault.text, "the client does not trust the CA in ca_out (its alert: "));
	assert_non_null(strstr(pair.client_fault.text, "which is not trusted here"));
	close_pair(&pair);
}

/* --- clients of others --- */

static int listener, port;

static int listen_here(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	(void)state;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 8) != 0)
		return -1;
	getsockname(listener, (struct sockaddr *)&address, &length);
	port = ntohs(address.sin_port);
	return 0;
}

static int stop_listening(void **state)
{
	(void)state;
	return close(listener);
}

static void wait_for(int fd, short events)
{
	struct pollfd one = {.fd = fd, .events = events};
	assert_int_equal(poll(&one, 1, PATIENCE), 1);
}

/* Starts a client by the shell; what it says is in the file `said`. */
static pid_t start(const char *command)
{
	pid_t child = fork();
	if (child == 0) {
		AUTO_FREE char *whole = memory_format("{ %s\n} >said 2>&1 </dev/null", command);
		execl("/bin/sh", "sh", "-c", whole, NULL);
		_exit(127);
	}
	return child;
}

struct served {
	struct fault fault; /* of the handshake */
	bool h2, resumed;
	char name[64];
};

/* One connection: hands are shaken, and where that is done, "hello" is said and the end waited for. */
static struct served serve_one(int fd, bool h2)
{
	struct served served = {0};
	struct tls *tls = serve(fd, "api.test", h2);
	enum tls_result result;
	char bytes[256];
	size_t count;
	while (goes_on(result = tls_handshake(tls, &served.fault)))
		wait_for(fd, result == TLS_WANT_READ ? POLLIN : POLLOUT);
	if (result == TLS_OK) {
		served.h2 = tls_is_h2(tls);
		served.resumed = gnutls_session_is_resumed(tls->session);
		snprintf(served.name, sizeof served.name, "%s", tls_server_name(tls) ? tls_server_name(tls) : "none");
		assert_int_equal(tls_write(tls, "hello\n", 6, &count), TLS_OK);
		tls_shut(tls);
		while (goes_on(result = tls_read(tls, bytes, sizeof bytes, &count)) || result == TLS_OK)
			wait_for(fd, POLLIN);
	}
	tls_close(tls);
	close(fd);
	return served;
}

static struct served serve_command(const char *command, bool h2)
{
	int status;
	pid_t child = start(command);
	wait_for(listener, POLLIN);
	struct served served = serve_one(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), h2);
	waitpid(child, &status, 0);
	return served;
}

static struct served serve_openssl(const char *options, bool h2)
{
	AUTO_FREE char *command = memory_format("openssl s_client -connect 127.0.0.1:%d -servername api.test -verify_return_error "
	                                        "-verify_hostname api.test -x509_strict -ign_eof %s", port, options);
	return serve_command(command, h2);
}

#define CA "-CAfile ca.pem "

static const struct {
	const char *options;
	bool server_h2, h2;
	const char *said;  /* by the client */
	const char *fault; /* NULL: hands are shaken */
} clients[] = {
	{CA "-tls1_3 -alpn h2,http/1.1", true, true, "ALPN protocol: h2", NULL},
	{CA "-tls1_3 -alpn http/1.1,h2", true, true, "ALPN protocol: h2", NULL}, /* the server chooses */
	{CA "-tls1_3 -alpn h2,http/1.1", false, false, "ALPN protocol: http/1.1", NULL},
	{CA "-tls1_2 -alpn h2,http/1.1", true, true, "ALPN protocol: h2", NULL},
	{CA "-tls1_2", true, false, "No ALPN negotiated", NULL},
	{CA "-tls1_3", true, false, "No ALPN negotiated", NULL},
	{CA "-groups P-256", true, false, "Verification: OK", NULL},
	{CA "-groups P-384", true, false, "Verification: OK", NULL},
	{CA "-groups P-521:X25519", true, false, "Verification: OK", NULL},
	{CA "-tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305", true, false, "Verification: OK", NULL},
	{CA "-alpn acme-tls/1", true, false, "no application protocol", "the client offers no protocol that is spoken here (ALPN)"},
	{CA "-alpn h2", false, false, "no application protocol", "the client offers no protocol that is spoken here (ALPN)"},
	{CA "-tls1_1 -cipher DEFAULT@SECLEVEL=0", true, false, "protocol version", "the client offers neither TLS 1.3 nor 1.2"},
	{CA "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", true, false, "handshake failure",
	 "the client offers no cipher that is spoken here"},
	{CA "-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", true, false, "handshake failure",
	 "the client offers no cipher that is spoken here"},
	{"-CAfile stranger.pem", true, false, "verify error",
	 "the client does not trust the CA in ca_out (its alert: CA is unknown)"},
	{"-CAfile stranger.pem -tls1_2", true, false, "verify error",
	 "the client does not trust the CA in ca_out (its alert: CA is unknown)"},
	{CA "-attime 4102444800", true, false, "certificate has expired",
	 "the client says that the certificate is not valid now; is its clock right?"},
};

static void test_openssl(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof clients / sizeof *clients; i++) {
		struct served served = serve_openssl(clients[i].options, clients[i].server_h2);
		AUTO_BUFFER struct buffer said = {0};
		file_read("said", 65536, &said, NULL);
		compare(clients[i].options, "fault", served.fault.text, clients[i].fault ? clients[i].fault : "");
		compare(clients[i].options, "name", served.name, clients[i].fault ? "" : "api.test");
		compare(clients[i].options, "protocol", served.h2 ? "h2" : "http/1.1", clients[i].h2 ? "h2" : "http/1.1");
		if (!strstr(said.data, clients[i].said))
			compare(clients[i].options, "what the client said", said.data, clients[i].said);
	}
	settle();
}

static void test_openssl_resumes(void **state)
{
	static const char *const versions[] = {"-tls1_3", "-tls1_2"};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		AUTO_FREE char *first = memory_format(CA "%s -sess_out session", versions[i]);
		AUTO_FREE char *second = memory_format(CA "%s -sess_in session", versions[i]);
		assert_false(serve_openssl(first, true).resumed);
		struct served served = serve_openssl(second, true);
		assert_string_equal(served.fault.text, "");
		assert_string_equal(served.name, "api.test");
		assert_true(served.resumed);
	}
}

/* What Python 3.13 turns on by itself, set where it is older. */
static void test_python(void **state)
{
	(void)state;
	AUTO_FREE char *command = memory_format(
		"python3 -c \"\n"
		"import socket, ssl\n"
		"context = ssl.create_default_context(cafile='ca.pem')\n"
		"context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN\n"
		"context.set_alpn_protocols(['h2', 'http/1.1'])\n"
		"with context.wrap_socket(socket.create_connection(('127.0.0.1', %d)), server_hostname='api.test') as one:\n"
		"    print(one.selected_alpn_protocol(), one.recv(10), one.getpeercert()['subjectAltName'])\n\"", port);
	struct served served = serve_command(command, true);
	AUTO_BUFFER struct buffer said = {0};
	file_read("said", 65536, &said, NULL);
	assert_string_equal(served.fault.text, "");
	assert_string_equal(said.data, "h2 b'hello\\n' (('DNS', 'api.test'),)\n");
}

static const struct {
	const char *bytes; /* then the end */
	const char *fault;
} strangers[] = {
	{"", "the client closed the connection during the TLS handshake; some do that who do not trust the CA in ca_out"},
	{"\x16\x03\x01", "the client closed the connection during the TLS handshake; some do that who do not trust the CA in ca_out"},
	{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "the TLS handshake with the client failed: "},
};

static void test_strangers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++) {
		struct pair pair;
		open_pair(&pair);
		size_t length = strlen(strangers[i].bytes);
		assert_int_equal(send(pair.fds[0], strangers[i].bytes, length, 0), length);
		shutdown(pair.fds[0], SHUT_WR);
		pair.server = serve(pair.fds[1], "api.test", true);
		assert_int_equal(tls_handshake(pair.server, &pair.server_fault), TLS_FAILED);
		if (!span_starts(span_of(pair.server_fault.text), span_of(strangers[i].fault)))
			compare(strangers[i].bytes, "fault", pair.server_fault.text, strangers[i].fault);
		close_pair(&pair);
	}
	settle();
}

/* A mint may go, with all that it keeps, while sessions last. */
static void test_outlives_mint(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	struct config *config = good(TEXT);
	struct host host;
	struct pair pair;
	assert_true(host_parse(SPAN("api.test"), &host, &fault));
	struct mint *own = mint_new(config, &fault);
	struct tls_trust *owns = trust_of(own, "own.pem");
	struct leaf *leaf = mint_get(own, &host, &fault);
	open_pair(&pair);
	pair.client = tls_client_new(owns, pair.fds[0], "api.test", false, &fault);
	pair.server = tls_server_new(leaf, pair.fds[1], false, &fault);
	leaf_free(leaf);
	mint_free(own);
	config_free(config);
	shake(&pair);
	assert_string_equal(pair.server_fault.text, "");
	say(pair.server, pair.client, "still here");
	close_pair(&pair);
	tls_trust_free(owns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shake),
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_resumed),
		cmocka_unit_test(test_foreign_ticket),
		cmocka_unit_test(test_name_of_now),
		cmocka_unit_test(test_untrusted),
		cmocka_unit_test_setup_teardown(test_openssl, listen_here, stop_listening),
		cmocka_unit_test_setup_teardown(test_openssl_resumes, listen_here, stop_listening),
		cmocka_unit_test_setup_teardown(test_python, listen_here, stop_listening),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_outlives_mint),
	};
	return cmocka_run_group_tests(tests, enter, leave);
}
