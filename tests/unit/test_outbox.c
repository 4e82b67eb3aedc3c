/* What an endpoint does not take waits, in order, and is told of. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "outbox.h"

static void open_pair(struct endpoint *end, int *peer)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	*end = (struct endpoint){.fd = pair[0]};
	*peer = pair[1];
}

/* As many numbers as the socket takes, and some that wait. */
static uint32_t fill(struct outbox *outbox, struct endpoint *end)
{
	uint32_t number = 0, more = 5000;
	while (more > 0) {
		enum outbox_result result = outbox_write(outbox, end, (struct span){(const char *)&number, sizeof number});
		assert_int_equal(result, outbox_size(outbox) > 0 ? OUTBOX_WAITS : OUTBOX_EMPTY);
		number++;
		more -= result == OUTBOX_WAITS;
	}
	return number;
}

static void test_what_waits_follows(void **state)
{
	(void)state;
	struct outbox outbox = {0};
	struct endpoint end;
	int peer;
	uint32_t got, next = 0;
	open_pair(&end, &peer);
	uint32_t count = fill(&outbox, &end);
	assert_int_equal(outbox_flush(&outbox, &end), OUTBOX_WAITS);
	while (next < count) {
		if (recv(peer, &got, sizeof got, 0) == sizeof got)
			assert_int_equal(got, next++);
		else
			assert_true(outbox_size(&outbox) > 0);
		outbox_flush(&outbox, &end);
	}
	assert_int_equal(outbox_flush(&outbox, &end), OUTBOX_EMPTY);
	assert_null(outbox.rest.bytes.data);
	assert_int_equal(outbox_write(&outbox, &end, (struct span){"x", 1}), OUTBOX_EMPTY);
	close(peer);
	assert_int_equal(outbox_write(&outbox, &end, (struct span){"x", 1}), OUTBOX_BROKEN);
	endpoint_close(&end);
}

static void test_a_peer_that_leaves(void **state)
{
	(void)state;
	struct outbox outbox = {0};
	struct endpoint end;
	int peer;
	open_pair(&end, &peer);
	fill(&outbox, &end);
	close(peer);
	assert_int_equal(outbox_flush(&outbox, &end), OUTBOX_BROKEN);
	outbox_wipe(&outbox);
	assert_int_equal(outbox_size(&outbox), 0);
	endpoint_close(&end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_waits_follows),
		cmocka_unit_test(test_a_peer_that_leaves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
