/* Our own listeners among the addresses to dial (SPEC §3: none is ever dialled); a part of dial, for no other room. */
#ifndef KEYSTILE_DIAL_OWN_H
#define KEYSTILE_DIAL_OWN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

/* Does `address` reach one of `listeners`? A mapped IPv4 address is that address. */
bool dial_is_own(const struct sockaddr_storage *listeners, size_t count, const struct sockaddr *address, socklen_t size);

/* The address without its port. */
void dial_address_text(const struct sockaddr *address, char text[64]);

#endif
