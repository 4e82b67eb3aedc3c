/* A service account's key file, and URLs: what is taken is whole, and a URL that is made of one is read as the same. The first
 * byte says which. */
#include <stdint.h>
#include <stdlib.h>

#include "service_account.h"

static void check_url(struct span text, struct arena *arena)
{
	struct origin origin, again;
	if (!origin_parse(text, (struct origin_options){.query = true}, arena, &origin, NULL))
		return;
	const char *url = origin_url(text, &origin, arena);
	if (!origin_parse(span_of(url), (struct origin_options){.query = true}, arena, &again, NULL))
		abort();
	if (!host_equal(&origin.host, &again.host) || origin.port != again.port || origin.tls != again.tls ||
	    strcmp(origin.path, again.path) != 0 || strcmp(origin_url(span_of(url), &again, arena), url) != 0)
		abort();
	for (const char *at = url; *at; at++)
		if (*at < 0x21 || *at > 0x7e || *at == '#' || *at == '\\')
			abort();
}

static void check_account(struct span text, struct arena *arena)
{
	struct service_account account;
	struct fault fault = FAULT_INIT;
	bool good = service_account_read(text, arena, &account, &fault);
	if (good != (fault.code == FAULT_NONE))
		abort();
	if (!good)
		return;
	if (!account.email.length || !account.key.length || !account.key_id.length || !account.endpoint.port)
		abort();
	check_url(account.token_uri, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {0};
	if (size == 0)
		return 0;
	struct span text = {(const char *)data + 1, size - 1};
	if (data[0] & 1)
		check_account(text, &arena);
	else
		check_url(text, &arena);
	arena_free(&arena);
	return 0;
}
