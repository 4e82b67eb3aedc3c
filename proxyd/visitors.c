#include "visitors.h"

#include <string.h>
#include <sys/socket.h>

void visitors_init(struct visitors *visitors)
{
	visitors->turns = 0;
	for (size_t i = 0; i < VISITORS; i++)
		visitors->list[i] = (struct visitor){.fd = -1};
}

static struct in6_addr address_of(const struct sockaddr *address)
{
	struct in6_addr found = {0};
	if (address && address->sa_family == AF_INET6)
		found = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
	if (address && address->sa_family == AF_INET) {
		found.s6_addr[10] = found.s6_addr[11] = 0xff;
		memcpy(&found.s6_addr[12], &((const struct sockaddr_in *)(const void *)address)->sin_addr, 4);
	}
	return found;
}

static void send_away(struct visitor *visitor)
{
	shutdown(visitor->fd, SHUT_RDWR);
	visitor->leaves = true;
}

static bool stays(const struct visitor *visitor)
{
	return visitor->fd >= 0 && !visitor->leaves;
}

static void send_away_late(struct visitors *visitors, uint64_t now)
{
	for (size_t i = 0; i < VISITORS; i++)
		if (stays(&visitors->list[i]) && visitors->list[i].since + VISITORS_PATIENCE < now)
			send_away(&visitors->list[i]);
}

/* So that fewer than `most` stay, of that address, or of all (NULL). */
static void make_place(struct visitors *visitors, const struct in6_addr *address, size_t most)
{
	struct visitor *first = NULL;
	size_t count = 0;
	for (size_t i = 0; i < VISITORS; i++) {
		struct visitor *visitor = &visitors->list[i];
		if (!stays(visitor) || (address && memcmp(address, &visitor->address, sizeof *address) != 0))
			continue;
		count++;
		if (!first || visitor->turn < first->turn)
			first = visitor;
	}
	if (count >= most)
		send_away(first);
}

struct visitor *visitors_enter(struct visitors *visitors, int fd, const struct sockaddr *address, uint64_t now)
{
	struct in6_addr own = address_of(address);
	send_away_late(visitors, now);
	make_place(visitors, &own, VISITORS_OF_ONE);
	make_place(visitors, NULL, VISITORS_STAY);
	for (size_t i = 0; i < VISITORS; i++)
		if (visitors->list[i].fd < 0) {
			visitors->list[i] =
				(struct visitor){.fd = fd, .since = now, .turn = ++visitors->turns, .address = own};
			return &visitors->list[i];
		}
	return NULL;
}

void visitors_answered(struct visitors *visitors, struct visitor *visitor, uint64_t now)
{
	if (visitor) {
		visitor->since = now;
		visitor->turn = ++visitors->turns;
	}
}

void visitors_leave(struct visitor *visitor)
{
	if (visitor)
		*visitor = (struct visitor){.fd = -1};
}
