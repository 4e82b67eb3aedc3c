#include <stddef.h>

#include "addresses.h"
#include "dial.h"
#include "dial_own.h"

enum reach {
	REACH_NEVER,    /* only where an entry names it */
	REACH_LOOPBACK, /* with loopback_allowed */
	REACH_PRIVATE,  /* with private_allowed */
};

struct range {
	unsigned char prefix[16];
	unsigned bits;
	enum reach reach;
	const char *what;
};

/* The first that matches decides. */
static const struct range ranges_v4[] = {
	{{169, 254, 169, 254}, 32, REACH_NEVER, "the cloud metadata address"},
	{{100, 100, 100, 200}, 32, REACH_NEVER, "a cloud metadata address"},
	{{168, 63, 129, 16}, 32, REACH_NEVER, "a cloud metadata address"},
	{{192, 0, 0, 192}, 32, REACH_NEVER, "a cloud metadata address"},
	{{0}, 8, REACH_NEVER, "an unspecified address"},
	{{127}, 8, REACH_LOOPBACK, "a loopback address"},
	{{169, 254}, 16, REACH_NEVER, "a link-local address"},
	{{224}, 4, REACH_NEVER, "a multicast address"},
	{{240}, 4, REACH_NEVER, "a reserved address"},
	{{10}, 8, REACH_PRIVATE, "a private address"},
	{{172, 16}, 12, REACH_PRIVATE, "a private address"},
	{{192, 168}, 16, REACH_PRIVATE, "a private address"},
	{{100, 64}, 10, REACH_PRIVATE, "a shared (carrier) address"},
	{{192, 0, 0}, 24, REACH_PRIVATE, "a special-purpose address"},
	{{198, 18}, 15, REACH_PRIVATE, "a benchmarking address"},
};

static const struct range ranges_v6[] = {
	{{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54}, 128, REACH_NEVER, "a cloud metadata address"},
	{{0}, 128, REACH_NEVER, "an unspecified address"},
	{{[15] = 1}, 128, REACH_LOOPBACK, "a loopback address"},
	{{0xfe, 0x80}, 10, REACH_NEVER, "a link-local address"},
	{{0xff}, 8, REACH_NEVER, "a multicast address"},
	{{0x20, 0x01}, 32, REACH_NEVER, "a Teredo address"},
	{{0xfc}, 7, REACH_PRIVATE, "a private address"},
	{{0xfe, 0xc0}, 10, REACH_PRIVATE, "a site-local address"},
	{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48, REACH_PRIVATE, "a local NAT64 address"},
};

/* IPv6 forms that hold an IPv4 address, and where. */
static const struct {
	unsigned char prefix[16];
	unsigned bits, offset;
} embeddings[] = {
	{{[10] = 0xff, 0xff}, 96, 12},             /* IPv4-mapped */
	{{[8] = 0xff, 0xff}, 96, 12},              /* IPv4-translated (RFC 2765) */
	{{0x00, 0x64, 0xff, 0x9b}, 96, 12},        /* NAT64 (RFC 6052) */
	{{0x20, 0x02}, 16, 2},                     /* 6to4 */
	{{0}, 96, 12},                             /* IPv4-compatible, long obsolete */
};

static bool in_prefix(const unsigned char *address, const unsigned char *prefix, unsigned bits)
{
	if (memcmp(address, prefix, bits / 8) != 0)
		return false;
	unsigned mask = 0xff00u >> bits % 8 & 0xff;
	return bits % 8 == 0 || (address[bits / 8] & mask) == (prefix[bits / 8] & mask);
}

static bool may_reach(enum reach reach, struct dial_policy policy)
{
	return (reach == REACH_LOOPBACK && policy.loopback_allowed) || (reach == REACH_PRIVATE && policy.private_allowed);
}

/* Sets `*what` and returns true where a range decides. */
static bool judge_ranges(const struct range *ranges, size_t count, const unsigned char *address,
                         struct dial_policy policy, const char **what)
{
	for (size_t i = 0; i < count; i++)
		if (in_prefix(address, ranges[i].prefix, ranges[i].bits)) {
			*what = may_reach(ranges[i].reach, policy) ? NULL : ranges[i].what;
			return true;
		}
	return false;
}

static const char *judge_v4(const unsigned char *address, struct dial_policy policy)
{
	const char *what = NULL;
	judge_ranges(ranges_v4, sizeof ranges_v4 / sizeof *ranges_v4, address, policy, &what);
	return what;
}

static const char *judge_v6(const unsigned char *address, struct dial_policy policy)
{
	const char *what = NULL;
	if (judge_ranges(ranges_v6, sizeof ranges_v6 / sizeof *ranges_v6, address, policy, &what))
		return what;
	for (size_t i = 0; i < sizeof embeddings / sizeof *embeddings; i++)
		if (in_prefix(address, embeddings[i].prefix, embeddings[i].bits))
			return judge_v4(address + embeddings[i].offset, policy);
	return NULL;
}

static bool asks(bool (*ask)(const struct addresses *, const struct host *, uint16_t), const struct addresses *addresses,
                 const struct sockaddr *address)
{
	char text[64];
	struct host host;
	if (!addresses)
		return false;
	/* The port stands at the same place in both. */
	uint16_t port = ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
	dial_address_text(address, text);
	return host_parse(span_of(text), &host, NULL) && ask(addresses, &host, port);
}

const char *dial_judge(const struct sockaddr *address, struct dial_policy policy)
{
	if (asks(addresses_deny, policy.addresses, address))
		return "a denied address";
	if (policy.literal_allowed || asks(addresses_name, policy.addresses, address))
		return NULL;
	if (address->sa_family == AF_INET)
		return judge_v4((const unsigned char *)&((const struct sockaddr_in *)(const void *)address)->sin_addr, policy);
	if (address->sa_family == AF_INET6)
		return judge_v6((const unsigned char *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
		                policy);
	return "no internet address";
}
