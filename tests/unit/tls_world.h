/* A CA of our own, who trusts it and who does not, and a client and a server on the two ends of a socket. For test_tls.c,
 * test_tls_identity.c and test_endpoint.c. */
#ifndef KEYSTILE_TLS_WORLD_H
#define KEYSTILE_TLS_WORLD_H

#include "config_rows.h"

#include <sys/socket.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "mint_leaf.h"
#include "tls.h"

#define TEXT "version: 1\nsession: none\nprofiles: { a: { hosts: [{ host: a.test, intercept: true }] } }\n"

static char folder[] = "/tmp/keystile-tls-XXXXXX";
static struct mint *mint;
static struct tls_trust *trust, *stranger;

static inline struct tls_trust *trust_of(struct mint *one, const char *file)
{
	struct fault fault = FAULT_INIT;
	AUTO_BUFFER struct buffer pem = {0};
	mint_pem(one, &pem);
	assert_true(file_replace(file, buffer_view(&pem), 0600, &fault));
	struct tls_trust *made = tls_trust_load(file, &fault);
	if (!made)
		fail_msg("%s", fault.text);
	return made;
}

static inline int enter(void **state)
{
	(void)state;
	struct fault fault = FAULT_INIT;
	struct config *config = good(TEXT);
	if (!mkdtemp(folder) || chdir(folder) != 0)
		return -1;
	mint = mint_new(config, &fault);
	struct mint *other = mint_new(config, &fault);
	config_free(config);
	trust = trust_of(mint, "ca.pem");
	stranger = trust_of(other, "stranger.pem");
	mint_free(other);
	return 0;
}

/* GnuTLS 3.7.9 loses some 200 bytes of a session's data where the server does not take the ticket; each host has one ticket,
 * so that is once for each time that a server forgets its key. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libgnutls\n";
}

static inline int leave(void **state)
{
	(void)state;
	mint_free(mint);
	tls_trust_free(trust);
	tls_trust_free(stranger);
	AUTO_FREE char *command = memory_format("rm -rf %s", folder);
	return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

static inline struct leaf *leaf_of(const char *name)
{
	struct fault fault = FAULT_INIT;
	struct host host;
	assert_true(host_parse(span_of(name), &host, &fault));
	struct leaf *leaf = mint_get(mint, &host, &fault);
	if (!leaf)
		fail_msg("%s", fault.text);
	return leaf;
}

/* --- our client and our server, on two ends of a socket --- */

struct pair {
	int fds[2];
	struct tls *client, *server;
	struct fault client_fault, server_fault;
};

static inline void open_pair(struct pair *pair)
{
	*pair = (struct pair){.fds = {-1, -1}};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair->fds), 0);
}

static inline struct tls *serve(int fd, const char *name, bool h2)
{
	struct fault fault = FAULT_INIT;
	struct leaf *leaf = leaf_of(name);
	struct tls *tls = tls_server_new(leaf, fd, h2, &fault);
	leaf_free(leaf); /* the session has its own */
	if (!tls)
		fail_msg("%s", fault.text);
	return tls;
}

static inline bool goes_on(enum tls_result result)
{
	return result == TLS_WANT_READ || result == TLS_WANT_WRITE;
}

/* Each in its turn; both ends are ours, so that nothing is waited for. */
static inline void shake(struct pair *pair)
{
	enum tls_result client = TLS_WANT_READ, server = TLS_WANT_READ;
	for (int i = 0; i < 20 && (goes_on(client) || goes_on(server)); i++) {
		if (goes_on(client))
			client = tls_handshake(pair->client, &pair->client_fault);
		if (goes_on(server))
			server = tls_handshake(pair->server, &pair->server_fault);
	}
	assert_true(!goes_on(server));
}

/* On the pair's two fds. */
static inline void greet_pair(struct pair *pair, struct tls_trust *trusted, const char *asked, const char *leaf, bool client_h2,
                              bool server_h2)
{
	pair->client = tls_client_new(trusted, pair->fds[0], asked, client_h2, &pair->client_fault);
	assert_non_null(pair->client);
	pair->server = serve(pair->fds[1], leaf, server_h2);
	shake(pair);
}

static inline void connect_pair(struct pair *pair, struct tls_trust *trusted, const char *asked, const char *leaf,
                                bool client_h2, bool server_h2)
{
	open_pair(pair);
	greet_pair(pair, trusted, asked, leaf, client_h2, server_h2);
}

static inline void say(struct tls *from, struct tls *to, const char *text)
{
	char bytes[64] = "";
	size_t count;
	assert_int_equal(tls_write(from, text, strlen(text), &count), TLS_OK);
	assert_int_equal(count, strlen(text));
	assert_int_equal(tls_read(to, bytes, sizeof bytes, &count), TLS_OK);
	assert_int_equal(count, strlen(text));
	assert_memory_equal(bytes, text, count);
}

static inline void close_pair(struct pair *pair)
{
	tls_close(pair->client);
	tls_close(pair->server);
	close(pair->fds[0]);
	close(pair->fds[1]);
}

#endif
