#include "dial_own.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* Bytes and length of an address, an IPv4-mapped one as IPv4. */
static const unsigned char *address_bytes(const struct sockaddr *address, size_t *length, uint16_t *port)
{
	static const unsigned char mapped[12] = {[10] = 0xff, 0xff};
	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *v4 = (const void *)address;
		*length = 4;
		*port = v4->sin_port;
		return (const unsigned char *)&v4->sin_addr;
	}
	if (address->sa_family != AF_INET6)
		return NULL;
	const struct sockaddr_in6 *v6 = (const void *)address;
	bool is_v4 = memcmp(&v6->sin6_addr, mapped, sizeof mapped) == 0;
	*length = is_v4 ? 4 : 16;
	*port = v6->sin6_port;
	return (const unsigned char *)&v6->sin6_addr + (is_v4 ? 12 : 0);
}

static bool all_zero(const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

/* An address is this machine's if a socket can be bound to it. */
static bool is_local(const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_storage any = {0};
	memcpy(&any, address, length);
	if (any.ss_family == AF_INET)
		((struct sockaddr_in *)&any)->sin_port = 0;
	else
		((struct sockaddr_in6 *)&any)->sin6_port = 0;
	int fd = socket(any.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	bool local = bind(fd, (const struct sockaddr *)&any, length) == 0;
	close(fd);
	return local;
}

bool dial_is_own(const struct sockaddr_storage *listeners, size_t count, const struct sockaddr *address, socklen_t size)
{
	size_t length, own_length;
	uint16_t port, own_port;
	const unsigned char *bytes = address_bytes(address, &length, &port);
	for (size_t i = 0; bytes && i < count; i++) {
		const unsigned char *own = address_bytes((const struct sockaddr *)&listeners[i], &own_length, &own_port);
		if (!own || own_port != port)
			continue;
		if (own_length == length && memcmp(own, bytes, length) == 0)
			return true;
		/* What is unspecified reaches, or stands for, every address of the machine. */
		if (all_zero(bytes, length) || (all_zero(own, own_length) && is_local(address, size)))
			return true;
	}
	return false;
}

void dial_address_text(const struct sockaddr *address, char text[64])
{
	const void *bytes = address->sa_family == AF_INET6
	                            ? (const void *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr
	                            : (const void *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
	if (!inet_ntop(address->sa_family, bytes, text, 64))
		text[0] = 0;
}
