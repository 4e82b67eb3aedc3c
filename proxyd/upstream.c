#include "upstream.h"

#define INTERIM_COUNT 100
#define INTERIM_BYTES (256 * 1024)

bool destination_equal(const struct destination *a, const struct destination *b)
{
	return a->port == b->port && a->tls == b->tls && a->trust == b->trust &&
	       a->policy.private_allowed == b->policy.private_allowed &&
	       a->policy.loopback_allowed == b->policy.loopback_allowed &&
	       a->policy.literal_allowed == b->policy.literal_allowed && a->policy.addresses == b->policy.addresses &&
	       a->policy.parent == b->policy.parent && host_equal(&a->host, &b->host);
}

uint32_t destination_hash(const struct destination *destination)
{
	uint32_t hash = 2166136261u ^ destination->port;
	for (size_t i = 0; i < destination->host.length; i++)
		hash = (hash ^ (unsigned char)destination->host.name[i]) * 16777619u;
	return hash ^ hash >> 16;
}

enum upstream_failure upstream_tls_failure(const struct fault *fault)
{
	return fault->code == FAULT_DENIED ? UPSTREAM_CLIENT_CERTIFICATE : UPSTREAM_TLS;
}

bool upstream_interims_add(struct upstream_interims *interims, size_t bytes)
{
	interims->count++;
	interims->bytes += bytes;
	return interims->count <= INTERIM_COUNT && interims->bytes <= INTERIM_BYTES;
}
