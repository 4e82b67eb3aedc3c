/* Any bytes as an authority: what is taken has one canonical form, which is taken for the same thing. */
#include <stdint.h>
#include <stdlib.h>

#include "authority.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names have letters that resolvers know; nothing else in them could be read as an address. */
static void check_host(const struct host *host)
{
	if (host->length == 0 || strlen(host->name) != host->length)
		abort();
	for (size_t i = 0; i < host->length; i++) {
		char c = host->name[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.';
		if (!letter && !(host->kind == HOST_NAME && (c == '-' || c == '_')) && !(host->kind == HOST_IPV6 && c == ':'))
			abort();
	}
	struct host again;
	if (!host_parse(host_span(host), &again, NULL) || !host_equal(host, &again) ||
	    memcmp(host->address, again.address, sizeof again.address) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {size ? (const char *)data : "", size};
	struct authority authority, again;
	struct host host;
	struct fault fault = FAULT_INIT;
	if (host_parse(text, &host, &fault))
		check_host(&host);
	else if (fault.code != FAULT_USAGE || !fault.text[0])
		abort();
	if (!authority_parse(text, &authority, &fault)) {
		if (fault.code != FAULT_USAGE || !fault.text[0])
			abort();
		return 0;
	}
	check_host(&authority.host);
	char formatted[AUTHORITY_TEXT];
	size_t length = authority_format(&authority.host, authority.port, formatted);
	if (length >= sizeof formatted || strlen(formatted) != length)
		abort();
	/* A bare IPv6 address is a host, but where a port could follow it stands in brackets. */
	if (authority.host.kind == HOST_IPV6 && !authority.port)
		return 0;
	if (!authority_parse((struct span){formatted, length}, &again, NULL) || again.port != authority.port ||
	    !host_equal(&again.host, &authority.host))
		abort();
	return 0;
}
