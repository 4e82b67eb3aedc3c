#include "inherited.h"

#include <stdlib.h>

#include "memory.h"

static const char *const kept_when_clean[] = {"PATH", "HOME", "TERM", "LANG", "TZ"};

static struct span name_of(const char *pair)
{
	return (struct span){pair, strcspn(pair, "=")};
}

static bool is_made(const struct environment *made, struct span name)
{
	for (size_t i = 0; i < made->count; i++)
		if (span_equal(span_of(made->list[i].name), name))
			return true;
	return false;
}

static bool is_listed(const char *const *list, size_t count, struct span name)
{
	for (size_t i = 0; i < count; i++)
		if (span_equal(span_of(list[i]), name))
			return true;
	return false;
}

static bool may_stay(const struct inherited_request *request, struct span name)
{
	if (known_has(request->known, name))
		return false;
	return !request->clean || is_listed(request->keep, request->keep_count, name) ||
	       is_listed(kept_when_clean, sizeof kept_when_clean / sizeof *kept_when_clean, name);
}

static bool judge_keep(const struct inherited_request *request, struct fault *fault)
{
	for (size_t i = 0; i < request->keep_count; i++) {
		const char *name = request->keep[i];
		if (!*name || strchr(name, '='))
			return fault_set(fault, FAULT_USAGE, "--keep takes the name of a variable; its value stays as it is");
		if (is_made(request->made, span_of(name)))
			return fault_set(fault, FAULT_USAGE, "--keep %s: this variable is set for CMD, so the old value cannot stay",
			                 name);
		if (known_has(request->known, span_of(name)))
			return fault_set(fault, FAULT_USAGE, "--keep %s: this variable is always unset: it may hold a secret, or lead "
			                 "CMD past the proxy; to give it to CMD anyway: -- env %s=... CMD", name, name);
	}
	return true;
}

static void unset(struct inherited *inherited, struct span name)
{
	if (!is_listed((const char *const *)inherited->unset, inherited->unset_count, name))
		inherited->unset[inherited->unset_count++] = memory_span(name);
}

bool inherited_make(const struct inherited_request *request, struct inherited *inherited, struct fault *fault)
{
	const struct environment *made = request->made;
	size_t there = 0;
	if (!judge_keep(request, fault))
		return false;
	while (request->from[there])
		there++;
	inherited->environment = memory_array(there + made->count + 1, sizeof *inherited->environment);
	inherited->unset = memory_array(there, sizeof *inherited->unset);
	for (size_t i = 0; i < there; i++) {
		struct span name = name_of(request->from[i]);
		if (is_made(made, name))
			continue;
		if (may_stay(request, name))
			inherited->environment[inherited->count++] = memory_string(request->from[i]);
		else
			unset(inherited, name);
	}
	for (size_t i = 0; i < made->count; i++)
		inherited->environment[inherited->count++] =
			memory_format("%s=%s", made->list[i].name, made->list[i].value);
	return true;
}

void inherited_free(struct inherited *inherited)
{
	for (size_t i = 0; i < inherited->count; i++) {
		explicit_bzero(inherited->environment[i], strlen(inherited->environment[i]));
		free(inherited->environment[i]);
	}
	for (size_t i = 0; i < inherited->unset_count; i++)
		free(inherited->unset[i]);
	free(inherited->environment);
	free(inherited->unset);
	*inherited = (struct inherited){0};
}
