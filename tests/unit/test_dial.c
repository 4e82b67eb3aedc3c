#include "dial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <arpa/inet.h>
#include <unistd.h>

#include <cmocka.h>

#include "addresses.h"
#include "config.h"

enum {
	NOTHING = 0,
	PRIVATE = 1,
	LOOPBACK = 2,
	LITERAL = 4,
};

static struct dial_policy policy_of(int allowed)
{
	return (struct dial_policy){.private_allowed = allowed & PRIVATE,
	                            .loopback_allowed = allowed & LOOPBACK,
	                            .literal_allowed = allowed & LITERAL};
}

static struct sockaddr_storage address_of(const char *text, uint16_t port)
{
	struct sockaddr_storage address = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
	}
	return address;
}

struct judge_row {
	const char *address;
	int needs; /* what of PRIVATE and LOOPBACK allows it; LITERAL: only that; NOTHING: always allowed */
};

static const struct judge_row judge_rows[] = {
	{"1.1.1.1", NOTHING},
	{"9.255.255.255", NOTHING},
	{"11.0.0.0", NOTHING},
	{"172.15.255.255", NOTHING},
	{"172.32.0.0", NOTHING},
	{"223.255.255.255", NOTHING},
	{"2606:4700::1111", NOTHING},
	{"10.0.0.1", PRIVATE},
	{"172.16.0.1", PRIVATE},
	{"172.31.255.255", PRIVATE},
	{"192.168.1.1", PRIVATE},
	{"100.64.0.1", PRIVATE},
	{"100.127.255.255", PRIVATE},
	{"198.18.0.1", PRIVATE},
	{"fc00::1", PRIVATE},
	{"fdff::1", PRIVATE},
	{"fec0::1", PRIVATE},
	{"127.0.0.1", LOOPBACK},
	{"127.255.255.254", LOOPBACK},
	{"::1", LOOPBACK},
	{"0.0.0.0", LITERAL},
	{"0.1.2.3", LITERAL},
	{"::", LITERAL},
	{"169.254.1.1", LITERAL},
	{"169.254.169.254", LITERAL},
	{"100.100.100.200", LITERAL},
	{"168.63.129.16", LITERAL},
	{"fd00:ec2::254", LITERAL},
	{"fe80::1", LITERAL},
	{"febf::1", LITERAL},
	{"224.0.0.1", LITERAL},
	{"239.255.255.255", LITERAL},
	{"240.0.0.1", LITERAL},
	{"255.255.255.255", LITERAL},
	{"ff02::1", LITERAL},
	{"2001::1", LITERAL},
	/* IPv4 in disguise */
	{"::ffff:1.1.1.1", NOTHING},
	{"::ffff:127.0.0.1", LOOPBACK},
	{"::ffff:10.0.0.1", PRIVATE},
	{"::ffff:169.254.169.254", LITERAL},
	{"::ffff:0.0.0.0", LITERAL},
	{"::127.0.0.1", LOOPBACK},
	{"::ffff:0:127.0.0.1", LOOPBACK},
	{"64:ff9b::127.0.0.1", LOOPBACK},
	{"64:ff9b::a9fe:a9fe", LITERAL},
	{"64:ff9b::1.1.1.1", NOTHING},
	{"64:ff9b:1::1.1.1.1", PRIVATE},
	{"2002:7f00:0001::", LOOPBACK},
	{"2002:0a00:0001::1", PRIVATE},
	{"2002:a9fe:a9fe::1", LITERAL},
	{"2002:0101:0101::1", NOTHING},
};

static void test_judge(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof judge_rows / sizeof *judge_rows; i++) {
		const struct judge_row *row = &judge_rows[i];
		struct sockaddr_storage address = address_of(row->address, 443);
		for (int allowed = 0; allowed < 8; allowed++) {
			const char *what = dial_judge((const struct sockaddr *)&address, policy_of(allowed));
			bool may = row->needs == NOTHING || (allowed & (row->needs | LITERAL)) != 0;
			if (may != !what)
				fail_msg("%s with policy %d: came %s, should be %s", row->address, allowed, what ? what : "allowed",
				         may ? "allowed" : "refused");
		}
	}
}

/* What a name resolves to, where `hosts:` has addresses: 127.0.0.0/8, 169.254.7.7:81 and so on. */
static void test_entries(void **state)
{
	static const struct {
		const char *address;
		uint16_t port;
		bool may;
	} rows[] = {
		{"127.0.0.1", 443, true},        {"127.0.0.1", 80, true},    {"127.0.0.1", 81, false},
		{"::ffff:127.0.0.1", 80, true},  {"127.9.0.1", 80, false},   {"::ffff:127.9.0.1", 443, false},
		{"127.9.0.1", 81, false},        {"169.254.7.7", 81, true},  {"169.254.7.7", 80, false},
		{"169.254.7.8", 81, false},      {"fe80::1", 443, true},     {"fec0::1", 443, false},
		{"1.1.1.1", 443, true},          {"9.9.9.9", 443, false},
	};
	static const char *const entries[] = {"127.0.0.0/8", "169.254.7.7:81", "fe80::/10", "!127.9.0.0/16", "!9.9.9.9", "*.test"};
	struct config_host hosts[6] = {0};
	const struct config_profile profile = {.hosts = hosts, .host_count = 6};
	(void)state;
	for (size_t i = 0; i < 6; i++)
		assert_true(pattern_parse(span_of(entries[i]), &hosts[i].pattern, NULL));
	struct dial_policy policy = {.addresses = addresses_new(&profile, NULL)};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct sockaddr_storage address = address_of(rows[i].address, rows[i].port);
		const char *what = dial_judge((const struct sockaddr *)&address, policy);
		if (rows[i].may != !what)
			fail_msg("%s port %u: came %s", rows[i].address, rows[i].port, what ? what : "allowed");
	}
	struct addresses *same = addresses_new(&profile, policy.addresses);
	assert_ptr_equal(same, policy.addresses);
	hosts[4].pattern.deny = false;
	struct addresses *other = addresses_new(&profile, policy.addresses);
	assert_ptr_not_equal(other, policy.addresses);
	addresses_unref(other);
	addresses_unref(same);
	addresses_unref(policy.addresses);
}

/* ---- real sockets ---- */

struct world {
	struct loop *loop;
	struct dialer *dialer;
	int listener;
	uint16_t port;
	unsigned waiting;
	struct dial_result result;
};

static int listen_at(const char *text, uint16_t *port)
{
	struct sockaddr_storage address = address_of(text, *port);
	socklen_t size = sizeof address;
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 64), 0);
	getsockname(fd, (struct sockaddr *)&address, &size);
	*port = ntohs(((struct sockaddr_in *)&address)->sin_port);
	return fd;
}

static void done(void *context, const struct dial_result *result)
{
	struct world *world = context;
	world->result = *result;
	if (--world->waiting == 0)
		loop_stop(world->loop);
}

static void start_world(struct world *world, const struct sockaddr_storage *own, size_t own_count, uint64_t limit)
{
	struct fault fault = FAULT_INIT;
	world->loop = loop_new(&fault);
	world->dialer = dialer_new(world->loop, own, own_count, limit, &fault);
	assert_non_null(world->dialer);
	world->listener = listen_at("127.0.0.1", &world->port);
}

static void end_world(struct world *world)
{
	close(world->listener);
	dialer_free(world->dialer);
	loop_free(world->loop);
}

static struct host host_of(const char *text)
{
	struct host host = {.kind = HOST_NAME, .length = (uint8_t)strlen(text)};
	memcpy(host.name, text, strlen(text));
	if (inet_pton(AF_INET, text, host.address) == 1)
		host.kind = HOST_IPV4;
	else if (inet_pton(AF_INET6, text, host.address) == 1)
		host.kind = HOST_IPV6;
	return host;
}

static struct dial_result dial_once(struct world *world, const char *text, uint16_t port, int allowed)
{
	struct host host = host_of(text);
	world->waiting = 1;
	dial_start(world->dialer, &host, port, policy_of(allowed), "p", done, world);
	assert_int_equal(world->waiting, 1);
	loop_run(world->loop);
	return world->result;
}

struct dial_row {
	const char *host, *own; /* own: this address with the listener's port is a listener of ours */
	int allowed;
	enum dial_failure failure;
	const char *text;
};

static const struct dial_row dial_rows[] = {
	{"127.0.0.1", NULL, LOOPBACK, DIAL_OK, ""},
	{"localhost", NULL, LOOPBACK, DIAL_OK, ""},
	{"127.0.0.1", NULL, NOTHING, DIAL_REFUSED_ADDRESS, "127.0.0.1 is a loopback address, which may not be reached"},
	{"127.0.0.1", NULL, PRIVATE, DIAL_REFUSED_ADDRESS, "127.0.0.1 is a loopback address, which may not be reached"},
	{"localhost", NULL, NOTHING, DIAL_REFUSED_ADDRESS, "loopback address"},
	{"169.254.169.254", NULL, PRIVATE | LOOPBACK, DIAL_REFUSED_ADDRESS, "cloud metadata"},
	{"127.0.0.1", "127.0.0.1", LOOPBACK | LITERAL, DIAL_OWN_LISTENER, "a listener of this proxy"},
	{"127.0.0.1", "0.0.0.0", LOOPBACK | LITERAL, DIAL_OWN_LISTENER, "a listener of this proxy"},
	{"127.0.0.1", "::", LOOPBACK | LITERAL, DIAL_OWN_LISTENER, "a listener of this proxy"},
	{"127.9.9.9", "0.0.0.0", LOOPBACK | LITERAL, DIAL_OWN_LISTENER, "a listener of this proxy"},
	{"0.0.0.0", "127.0.0.1", LITERAL, DIAL_OWN_LISTENER, "a listener of this proxy"},
	{"::ffff:127.0.0.1", "127.0.0.1", LITERAL, DIAL_OWN_LISTENER, "a listener of this proxy"},
	{"127.0.0.1", "127.0.0.2", LOOPBACK, DIAL_OK, ""},
	{"no-such-name.invalid", NULL, PRIVATE, DIAL_DNS, "cannot resolve no-such-name.invalid"},
};

static void check_dial(const struct dial_row *row)
{
	struct world world = {0};
	struct sockaddr_storage own = {0};
	start_world(&world, &own, 1, 5000);
	if (row->own)
		own = address_of(row->own, world.port);
	struct dial_result result = dial_once(&world, row->host, world.port, row->allowed);
	if (result.failure != row->failure || !strstr(result.text, row->text) || (result.fd >= 0) != (row->failure == DIAL_OK))
		fail_msg("dial %s, own %s, policy %d: came %d \"%s\" fd %d, should be %d \"%s\"", row->host,
		         row->own ? row->own : "-", row->allowed, result.failure, result.text, result.fd, row->failure, row->text);
	if (result.fd >= 0) {
		int accepted = accept(world.listener, NULL, NULL);
		char byte = 0;
		assert_string_equal(result.address, "127.0.0.1");
		/* The descriptor is ours and lives on when libcurl is gone. */
		dialer_free(world.dialer);
		world.dialer = NULL;
		assert_int_equal(write(result.fd, "x", 1), 1);
		assert_int_equal(read(accepted, &byte, 1), 1);
		assert_int_equal(byte, 'x');
		close(accepted);
		close(result.fd);
	}
	end_world(&world);
}

static void test_dials(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof dial_rows / sizeof *dial_rows; i++)
		check_dial(&dial_rows[i]);
}

static void test_refused_connection(void **state)
{
	struct world world = {0};
	(void)state;
	start_world(&world, NULL, 0, 5000);
	close(world.listener);
	struct dial_result result = dial_once(&world, "127.0.0.1", world.port, LOOPBACK);
	assert_int_equal(result.failure, DIAL_CONNECT);
	assert_non_null(strstr(result.text, "Connection refused"));
	world.listener = dup(2);
	end_world(&world);
}

/* A full accept queue lets a SYN go unanswered. */
static void test_connect_limit(void **state)
{
	struct world world = {0};
	uint16_t port = 0;
	int fillers[4];
	(void)state;
	start_world(&world, NULL, 0, 150);
	int deaf = listen_at("127.0.0.1", &port);
	listen(deaf, 0);
	struct sockaddr_storage address = address_of("127.0.0.1", port);
	for (int i = 0; i < 4; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fillers[i], (struct sockaddr *)&address, sizeof(struct sockaddr_in));
	}
	struct dial_result result = dial_once(&world, "127.0.0.1", port, LOOPBACK);
	assert_int_equal(result.failure, DIAL_TIMEOUT);
	assert_non_null(strstr(result.text, "within 0.15 s"));
	for (int i = 0; i < 4; i++)
		close(fillers[i]);
	close(deaf);
	end_world(&world);
}

static void must_not_come(void *context, const struct dial_result *result)
{
	(void)context;
	fail_msg("a cancelled dial came back: %s", result->text);
}

static void test_cancelled_dials_stay_silent(void **state)
{
	struct world world = {0};
	struct host name = host_of("localhost"), literal = host_of("127.0.0.1");
	struct dial *dials[100];
	(void)state;
	start_world(&world, NULL, 0, 5000);
	for (size_t i = 0; i < 100; i++)
		dials[i] = dial_start(world.dialer, i % 2 ? &name : &literal, world.port, policy_of(LOOPBACK), "p",
		                      must_not_come, NULL);
	for (size_t i = 0; i < 100; i++)
		dial_cancel(dials[i]);
	struct dial_result result = dial_once(&world, "127.0.0.1", world.port, LOOPBACK);
	assert_int_equal(result.failure, DIAL_OK);
	close(result.fd);
	end_world(&world);
}

/* More look-ups than slots, of one profile and of several: all come through. */
static void test_look_ups_wait_their_turn(void **state)
{
	static const char *const profiles[] = {"a", "b", "c", NULL};
	struct world world = {0};
	struct host name = host_of("localhost");
	(void)state;
	start_world(&world, NULL, 0, 5000);
	world.waiting = 60;
	for (size_t i = 0; i < 60; i++)
		dial_start(world.dialer, &name, 1, policy_of(NOTHING), profiles[i % 4], done, &world);
	loop_run(world.loop);
	assert_int_equal(world.waiting, 0);
	assert_int_equal(world.result.failure, DIAL_REFUSED_ADDRESS);
	end_world(&world);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_judge),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_dials),
		cmocka_unit_test(test_refused_connection),
		cmocka_unit_test(test_connect_limit),
		cmocka_unit_test(test_cancelled_dials_stay_silent),
		cmocka_unit_test(test_look_ups_wait_their_turn),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
