/* Connections of the admin listener: who has to go for one that comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "visitors.h"

struct pair {
	int ends[2];
	struct visitor *visitor;
};

static struct visitors visitors;

static struct pair come(const char *host, uint64_t now)
{
	struct pair pair;
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	bool is_v4 = inet_pton(AF_INET, host, &v4.sin_addr) == 1;
	assert_true(is_v4 || inet_pton(AF_INET6, host, &v6.sin6_addr) == 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair.ends), 0);
	pair.visitor = visitors_enter(&visitors, pair.ends[0], is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, now);
	assert_non_null(pair.visitor);
	return pair;
}

static bool was_sent_away(const struct pair *pair)
{
	struct pollfd poller = {.fd = pair->ends[1], .events = POLLIN};
	return poll(&poller, 1, 0) == 1;
}

static void go(struct pair *pair)
{
	visitors_leave(pair->visitor);
	close(pair->ends[0]);
	close(pair->ends[1]);
}

static void expect(struct pair *pairs, size_t count, size_t first, size_t end)
{
	for (size_t i = 0; i < count; i++)
		if (was_sent_away(&pairs[i]) != (i >= first && i < end))
			fail_msg("connection %zu: %s", i, was_sent_away(&pairs[i]) ? "was sent away" : "stayed");
}

static void test_of_one_address(void **state)
{
	(void)state;
	struct pair pairs[VISITORS_OF_ONE + 2];
	visitors_init(&visitors);
	struct pair other = come("::1", 0);
	for (size_t i = 0; i < VISITORS_OF_ONE; i++)
		pairs[i] = come("127.0.0.1", i);
	expect(pairs, VISITORS_OF_ONE, 0, 0);
	for (size_t i = VISITORS_OF_ONE; i < VISITORS_OF_ONE + 2; i++)
		pairs[i] = come("127.0.0.1", i);
	expect(pairs, VISITORS_OF_ONE + 2, 0, 2);
	assert_false(was_sent_away(&other));
	for (size_t i = 0; i < VISITORS_OF_ONE + 2; i++)
		go(&pairs[i]);
	go(&other);
}

/* Who had an answer stands behind those that had none. */
static void test_of_all(void **state)
{
	(void)state;
	static const char *const hosts[] = {"192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1", "2001:db8::2"};
	struct pair pairs[VISITORS_STAY + 1];
	visitors_init(&visitors);
	for (size_t i = 0; i < VISITORS_STAY; i++)
		pairs[i] = come(hosts[i % 4], i);
	expect(pairs, VISITORS_STAY, 0, 0);
	visitors_answered(&visitors, pairs[0].visitor, VISITORS_STAY);
	pairs[VISITORS_STAY] = come("203.0.113.1", VISITORS_STAY);
	expect(pairs, VISITORS_STAY + 1, 1, 2);
	for (size_t i = 0; i < VISITORS_STAY + 1; i++)
		go(&pairs[i]);
}

/* A clock that stands still, as in a burst, makes nobody older: a place that is taken anew is the last one's. */
static void test_at_once(void **state)
{
	(void)state;
	struct pair pairs[VISITORS_OF_ONE + 1];
	visitors_init(&visitors);
	for (size_t i = 0; i < VISITORS_OF_ONE; i++)
		pairs[i] = come("127.0.0.1", 7);
	go(&pairs[0]);
	pairs[0] = come("127.0.0.1", 7);
	pairs[VISITORS_OF_ONE] = come("127.0.0.1", 7);
	expect(pairs, VISITORS_OF_ONE + 1, 1, 2);
	for (size_t i = 0; i < VISITORS_OF_ONE + 1; i++)
		go(&pairs[i]);
}

static void test_late(void **state)
{
	(void)state;
	struct pair pairs[3];
	visitors_init(&visitors);
	pairs[0] = come("127.0.0.1", 1000);
	pairs[1] = come("::1", 1000);
	visitors_answered(&visitors, pairs[1].visitor, 2000);
	pairs[2] = come("127.0.0.1", 1001 + VISITORS_PATIENCE);
	expect(pairs, 3, 0, 1);
	for (size_t i = 0; i < 3; i++)
		go(&pairs[i]);
}

/* No place is left where none of those that were sent away has left yet. */
static void test_no_place(void **state)
{
	(void)state;
	struct pair pairs[VISITORS];
	visitors_init(&visitors);
	for (size_t i = 0; i < VISITORS; i++)
		pairs[i] = come("127.0.0.1", i);
	assert_null(visitors_enter(&visitors, pairs[0].ends[0], NULL, VISITORS));
	visitors_answered(&visitors, NULL, 0);
	visitors_leave(NULL);
	for (size_t i = 0; i < VISITORS; i++)
		go(&pairs[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_of_one_address),
		cmocka_unit_test(test_of_all),
		cmocka_unit_test(test_at_once),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_no_place),
	};
	return cmocka_run_group_tests_name("visitors", tests, NULL, NULL);
}
