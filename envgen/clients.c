#include "clients.h"

#include <string.h>

const struct client client_list[] = {
	{"curl, git, PHP", "DDP", "DDP", "PPP", "DPP", "PP"},
	{"wget", "DDP", "DPP", "PPP", "DPD", "PP"},
	{"wget2", "DDP", "DPP", "PPP", "DPP", "PP"},
	{"aria2", "DDP", "DPP", "PPP", "DPP", "PP"},
	{"apt", "DDD", "DPP", "PPP", "DDD", "PP"},
	{"gRPC", "DDD", "DPP", "PPP", "DDD", "PP"},
	{"urllib", "DDP", "DDP", "PDP", "DPD", "PP"},
	{"requests, pip", "DDD", "DDP", "PDP", "DPD", "PP"},
	{"botocore", "DDP", "DDP", "PDP", "DPD", "PP"},
	{"httpx", "DDP", "DPP", "PPP", "DPD", "PP"},
	{"aiohttp", "DDP", "DDP", "PPP", "DPD", "PP"},
	{"Node fetch 24", "DDP", "DDP", "DDP", "DPD", "PP"},
	{"Node fetch 22", "DPP", "DPP", "DDP", "DPP", "PP"},
	{"got, axios 1.7", "DPP", "DPP", "DDP", "DPP", "PP"},
	{"Node http 24", "DPP", "DDP", "DPP", "DPP", "PP"},
	{"Node http 22", "DPP", "DDD", "DPP", "DPP", "PP"},
	{"axios", "DPP", "DPP", "DDP", "DPP", "PD"},
	{"global-agent", "DPP", "DDD", "PDP", "DPP", "PP"},
	{"npm", "DDP", "DDP", "PPP", "DPD", "PP"},
	{"Deno", "DDP", "DDP", "PPP", "DPP", "PP"},
	{"Bun", "DDP", "DDP", "DDP", "DPP", "PP"},
	{"Go, Docker", "DDP", "DPP", "DDP", "DPD", "DD"},
	{"Ruby", "DDP", "DPP", "DDP", "DPD", "DD"},
	{"Perl LWP", "DDD", "DPP", "PPP", "DDD", "PP"},
	{"HTTP::Tiny", "DDD", "DPP", "PPP", "DDD", "PP"},
	{"reqwest", "DDP", "DDP", "PPP", "DPP", "PP"},
	{".NET", "DPP", "DDP", "PPP", "DPP", "PP"},
};

const size_t client_count = sizeof client_list / sizeof *client_list;

static bool is_address(struct span host)
{
	for (size_t i = 0; i < host.length; i++)
		if (!strchr("0123456789.", host.data[i]))
			return false;
	return host.length > 0;
}

static bool is_loopback(struct span host)
{
	return span_equal(host, SPAN("localhost")) || span_ends(host, SPAN(".localhost")) || span_equal(host, SPAN("::1")) ||
	       (is_address(host) && span_starts(host, SPAN("127.")));
}

/* How the target lies to what the entry names. */
enum place { PLACE_SAME, PLACE_BELOW, PLACE_ENDS, PLACE_ELSEWHERE };

static enum place place_of(struct span host, struct span name)
{
	if (!span_ends(host, name))
		return PLACE_ELSEWHERE;
	if (host.length == name.length)
		return PLACE_SAME;
	return host.data[host.length - name.length - 1] == '.' ? PLACE_BELOW : PLACE_ENDS;
}

static bool port_fits(const struct client *client, struct span port, const struct client_target *target)
{
	uint32_t number = 0;
	if (!port.data)
		return true;
	for (size_t i = 0; i < port.length; i++)
		number = number * 10 + (uint32_t)(port.data[i] - '0');
	return client->port[number != target->port ? 2 : target->port_written ? 1 : 0] == 'D';
}

bool client_bypasses(const struct client *client, struct span entry, const struct client_target *target)
{
	/* The letters by place: same, below, ends */
	const char ipv4[] = {client->ipv4[0], client->ipv4[2], client->ipv4[1]},
	           dotted[] = {client->dotted[1], client->dotted[0], client->dotted[2]};
	bool dot = span_starts(entry, SPAN("."));
	struct span port = span_from(entry, dot), name = span_split(&port, ':');
	const char *letters = is_address(name) ? ipv4 : dot ? dotted : client->bare;
	enum place place = place_of(target->host, name);
	if (is_loopback(name) && is_loopback(target->host) && client->local[1] == 'D')
		return true;
	return place != PLACE_ELSEWHERE && letters[place] == 'D' && port_fits(client, port, target);
}

bool client_bypasses_always(const struct client *client, const struct client_target *target)
{
	return client->local[0] == 'D' && is_loopback(target->host);
}
