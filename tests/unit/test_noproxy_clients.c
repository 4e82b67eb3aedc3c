/* Random configurations against the table of clients: none is led around the proxy, and nothing safe is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "arena.h"
#include "clients.h"
#include "memory.h"
#include "noproxy.h"
#include "secret.h"

enum { RUNS = 6000, MOST_CREDENTIALS = 4, MOST_PROFILES = 3, MOST_HOSTS = 8, MOST_TARGETS = 4000 };

#define SEED 20261126u
#define U_LABEL "b\xc3\xbc" "cher"
#define A_LABEL "xn--bcher-kva"

/* Labels that are each other's ends, so that random names meet. */
static const char *const labels[] = {"a", "api", "pi", "xapi", "i", "hub", "github", "test", "est", "com", "de", "cafe", "fe",
                                     "localhost", A_LABEL, "cher", "her", "x"};
static const char *const addresses[] = {"1.2.3.4", "21.2.3.4", "121.2.3.4", "2.2.3.4", "127.0.0.1", "127.0.0.2", "10.0.0.5",
                                        "[::1]", "[2001:db8::cafe]", "[fd00::de]", "[2001:db8::102:304]"};
static const char *const networks[] = {"10.0.0.0/8", "21.2.3.0/24", "112.0.0.0/5", "127.0.0.0/8", "127.0.0.0/30",
                                       "2001:db8::/32", "fd00::/8", "::1/128"};
static const char *const ports[] = {"", "", "", ":80", ":443", ":8080", ":4222"};

#define PICK(list) list[next() % (sizeof(list) / sizeof *(list))]

static uint64_t random_state;

static uint32_t next(void)
{
	random_state += 0x9e3779b97f4a7c15u; /* splitmix64 */
	uint64_t z = random_state;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

static bool one_in(uint32_t count)
{
	return next() % count == 0;
}

/* A configuration, and what is asked of its first profile. */
struct run {
	struct arena memory;
	struct config config;
	struct config_credential credentials[MOST_CREDENTIALS];
	struct config_profile profiles[MOST_PROFILES];
	struct config_host hosts[MOST_PROFILES][MOST_HOSTS];
	struct authority advertise;
	struct span targets[MOST_TARGETS]; /* spellings of guarded hosts */
	size_t target_count;
	struct buffer list;
	uint64_t seed;
};

static char *random_name(struct arena *memory)
{
	char *name = arena_format(memory, "%s", PICK(labels));
	while (!one_in(3))
		name = arena_format(memory, "%s.%s", PICK(labels), name);
	return name;
}

static void random_pattern(struct run *run, struct pattern *pattern, bool with_networks)
{
	struct fault fault = FAULT_INIT;
	char *text;
	if (with_networks && one_in(10))
		text = arena_format(&run->memory, "%s", PICK(networks));
	else if (one_in(6))
		text = arena_format(&run->memory, "%s%s", PICK(addresses), PICK(ports));
	else
		text = arena_format(&run->memory, "%s%s%s", one_in(4) ? "*." : "", random_name(&run->memory), PICK(ports));
	if (!pattern_parse(span_of(text), pattern, &fault))
		fail_msg("%s: %s", text, fault.text);
}

static void random_profile(struct run *run, size_t number)
{
	struct config_profile *profile = &run->profiles[number];
	*profile = (struct config_profile){.name = (char *)(uintptr_t)"p", .hosts = run->hosts[number], .direct = !one_in(8)};
	for (profile->host_count = next() % (MOST_HOSTS + 1); profile->host_count < MOST_HOSTS && !one_in(4);)
		profile->host_count++;
	for (size_t i = 0; i < profile->host_count; i++) {
		struct config_host *host = &profile->hosts[i];
		*host = (struct config_host){.text = arena_format(&run->memory, "%zu.%zu", number, i)};
		random_pattern(run, &host->pattern, true);
		host->pattern.deny = one_in(8);
		host->intercept = !host->pattern.deny && one_in(12);
		host->rules.count = !host->pattern.deny && one_in(12);
	}
}

static void random_config(struct run *run)
{
	random_state = run->seed;
	run->config = (struct config){.credentials = run->credentials, .profiles = run->profiles,
	                              .credential_count = next() % (MOST_CREDENTIALS + 1),
	                              .profile_count = 1 + next() % MOST_PROFILES};
	for (size_t i = 0; i < run->config.credential_count; i++) {
		run->credentials[i] = (struct config_credential){.name = (char *)(uintptr_t)"c"};
		random_pattern(run, &run->credentials[i].host, false);
	}
	for (size_t i = 0; i < run->config.profile_count; i++)
		random_profile(run, i);
	const char *host = one_in(2) ? random_name(&run->memory) : PICK(addresses);
	assert_true(authority_parse(span_of(arena_format(&run->memory, "%s:8180", host)), &run->advertise, NULL));
}

/* The spellings of guarded hosts */

static void add_target(struct run *run, const char *text)
{
	assert_true(run->target_count < MOST_TARGETS);
	run->targets[run->target_count++] = span_of(text);
	const char *label = strstr(text, A_LABEL);
	if (label)
		add_target(run, arena_format(&run->memory, "%.*s%s%s", (int)(label - text), text, U_LABEL, label + strlen(A_LABEL)));
}

/* Every host that the first profile allows, and the proxy: what entries could be made of. */
static size_t candidates(const struct run *run, const struct host **list)
{
	static const struct host local = {.kind = HOST_IPV4, .length = 9, .name = "127.0.0.1", .address = {127, 0, 0, 1}};
	size_t count = 0;
	list[count++] = &local;
	list[count++] = &run->advertise.host;
	for (size_t i = 0; i < run->profiles[0].host_count; i++)
		list[count++] = &run->profiles[0].hosts[i].pattern.host;
	return count;
}

static void add_wildcard(struct run *run, const struct pattern *pattern)
{
	const struct host *list[MOST_HOSTS + 2];
	size_t count = candidates(run, list);
	char *below = arena_format(&run->memory, ".%s", pattern->host.name);
	add_target(run, arena_format(&run->memory, "q%s", below));
	add_target(run, arena_format(&run->memory, "q.q%s", below));
	for (size_t i = 0; i < count; i++)
		if (span_ends(host_span(list[i]), span_of(below))) {
			add_target(run, list[i]->name);
			add_target(run, arena_format(&run->memory, "q%s", list[i]->name));
			add_target(run, arena_format(&run->memory, "q.%s", list[i]->name));
		}
}

static void add_if_within(struct run *run, const struct pattern *network, const char *text, const char *spelling)
{
	struct host host;
	if (host_parse(span_of(text), &host, NULL) && pattern_matches(network, &host, network->port ? network->port : 80))
		add_target(run, spelling);
}

static void add_network(struct run *run, const struct pattern *network)
{
	const struct host *list[MOST_HOSTS + 2];
	size_t count = candidates(run, list);
	add_target(run, network->host.name);
	for (size_t i = 0; i < count; i++)
		if (network->host.kind == HOST_IPV6) {
			char *text = arena_format(&run->memory, "%s%s", network->host.name, list[i]->name);
			if (list[i]->kind == HOST_NAME && network->bits <= 112)
				add_if_within(run, network, text, text);
		} else if (list[i]->kind == HOST_IPV4) {
			add_if_within(run, network, list[i]->name, list[i]->name);
			for (unsigned digits = 1; digits < 26; digits++) {
				char *text = arena_format(&run->memory, "%u%s", digits, list[i]->name);
				add_if_within(run, network, text, text);
			}
		}
}

static void add_exact(struct run *run, const struct host *host)
{
	const unsigned char *last = host->address + 12;
	add_target(run, host->name);
	if (host->kind == HOST_IPV6)
		add_target(run, arena_format(&run->memory, "2001:db8::%u.%u.%u.%u", last[0], last[1], last[2], last[3]));
}

static void add_guarded(struct run *run, const struct pattern *pattern)
{
	if (pattern->kind == PATTERN_WILDCARD)
		add_wildcard(run, pattern);
	else if (pattern->kind == PATTERN_CIDR)
		add_network(run, pattern);
	else
		add_exact(run, &pattern->host);
}

static void add_all_guarded(struct run *run)
{
	for (size_t i = 0; i < run->config.credential_count; i++)
		add_guarded(run, &run->credentials[i].host);
	for (size_t k = 0; k < run->config.profile_count; k++)
		for (size_t i = 0; i < run->profiles[k].host_count; i++) {
			const struct config_host *host = &run->hosts[k][i];
			if (host->pattern.deny || (k == 0 && (host->rules.count || host->intercept)))
				add_guarded(run, &host->pattern);
		}
}

/* What the clients do */

/* Some client that goes to some guarded host by itself because of this entry, at any port; NULL: none. */
static const struct client *led_around(const struct run *run, struct span entry, struct span *target)
{
	static const uint16_t numbers[] = {80, 443, 8080, 4222, 8443};
	*target = (struct span){0};
	for (size_t i = 0; i < run->target_count; i++)
		for (size_t k = 0; k < client_count; k++)
			for (size_t port = 0; port < 2 * sizeof numbers / sizeof *numbers; port++) {
				struct client_target asked = {run->targets[i], numbers[port / 2], port % 2};
				*target = asked.host;
				if (client_bypasses(&client_list[k], entry, &asked))
					return &client_list[k];
			}
	return NULL;
}

static bool is_listed(const struct run *run, struct span entry)
{
	for (struct span rest = buffer_view(&run->list); rest.data;)
		if (span_equal(span_split(&rest, ','), entry))
			return true;
	return false;
}

static void check_no_leak(const struct run *run)
{
	static const char *const never[] = {",,", " ", "*", "[", "!", "/", "..", NULL};
	for (size_t i = 0; never[i]; i++)
		if (strstr(run->list.data, never[i]))
			fail_msg("seed %llu: `%s` in %s", (unsigned long long)run->seed, never[i], run->list.data);
	for (struct span rest = buffer_view(&run->list), target; rest.data;) {
		struct span entry = span_split(&rest, ',');
		const struct client *client = led_around(run, entry, &target);
		if (entry.length == 0 ? run->list.length > 0 : client != NULL)
			fail_msg("seed %llu: `%.*s` of %s leads %s to %.*s", (unsigned long long)run->seed, SPAN_ARGS(entry),
			         run->list.data, client ? client->name : "all", SPAN_ARGS(target));
	}
}

/* An entry that leads nobody around, its port left aside, is listed. */
static void check_not_lost(const struct run *run, struct span entry)
{
	struct span rest = entry, bare = span_split(&rest, ':'), target;
	if (!led_around(run, bare, &target) && !is_listed(run, entry))
		fail_msg("seed %llu: `%.*s` is safe, and not in %s", (unsigned long long)run->seed, SPAN_ARGS(entry),
		         run->list.data);
}

static void check_host(struct run *run, const struct config_host *host)
{
	const struct pattern *pattern = &host->pattern;
	bool wildcard = pattern->kind == PATTERN_WILDCARD;
	if (pattern->deny || host->rules.count || host->intercept || pattern->kind == PATTERN_CIDR ||
	    pattern->host.kind != HOST_NAME || (wildcard && pattern->port))
		return;
	char text[AUTHORITY_TEXT];
	authority_format(&pattern->host, pattern->port, text);
	check_not_lost(run, span_of(arena_format(&run->memory, "%s%s", wildcard ? "." : "", text)));
}

static void check_all_hosts(struct run *run)
{
	check_not_lost(run, SPAN("localhost"));
	check_not_lost(run, SPAN("127.0.0.1"));
	if (run->advertise.host.kind != HOST_IPV6)
		check_not_lost(run, host_span(&run->advertise.host));
	for (size_t i = 0; i < run->profiles[0].host_count; i++)
		check_host(run, &run->profiles[0].hosts[i]);
}

/* Without a route of its own a sandbox reaches loopback, and nothing else, by itself. */
static void check_indirect(const struct run *run)
{
	for (struct span rest = buffer_view(&run->list); run->list.length && rest.data;) {
		struct host host;
		assert_true(host_parse(span_split(&rest, ','), &host, NULL) && host_is_loopback(&host));
	}
	for (size_t i = 0; i < run->profiles[0].host_count; i++) {
		const struct pattern *pattern = &run->profiles[0].hosts[i].pattern;
		if (!pattern->deny && pattern_is_loopback(pattern))
			assert_string_equal(run->list.data, "");
	}
}

static void make_list(struct run *run)
{
	struct noproxy_guard *guard = noproxy_guard_new(&run->config);
	struct noproxy *list = noproxy_new(guard, &run->profiles[0], &run->advertise, NOPROXY_LIMIT);
	buffer_string(&run->list, "");
	noproxy_write(list, &run->list);
	noproxy_free(list);
	noproxy_guard_free(guard);
}

static void test_random(void **state)
{
	(void)state;
	size_t entries = 0, targets = 0;
	for (uint64_t i = 0; i < RUNS; i++) {
		struct run *run = memory_alloc(sizeof *run);
		run->seed = SEED + i;
		random_config(run);
		add_all_guarded(run);
		make_list(run);
		check_no_leak(run);
		if (run->profiles[0].direct)
			check_all_hosts(run);
		else
			check_indirect(run);
		for (const char *at = run->list.data; *at; at++)
			entries += *at == ',';
		targets += run->target_count;
		buffer_free(&run->list);
		arena_free(&run->memory);
		free(run);
	}
	print_message("%d configurations from seed %u: %zu entries, %zu guarded spellings, %zu clients\n", RUNS, SEED, entries,
	              targets, client_count);
	assert_true(entries > RUNS && targets > RUNS);
}

static int set_up(void **state)
{
	(void)state;
	return secret_start(NULL) ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
	return cmocka_run_group_tests_name("noproxy_clients", tests, set_up, NULL);
}
