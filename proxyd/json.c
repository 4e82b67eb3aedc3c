#include "json.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>

#include "memory.h"

/* For the process, as jansson has it: set before its first text is read. */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void wipe_what_is_freed(void)
{
	json_set_alloc_funcs(malloc, memory_wipe_free);
}

/* Is nothing nested too deep? jansson itself goes 2048 deep, on the stack. What is no JSON it finds itself. */
static bool is_shallow(struct span text)
{
	size_t depth = 0;
	bool quoted = false;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '[' || c == '{') && ++depth > JSON_DEEPEST)
			return false;
		else if (!quoted && (c == ']' || c == '}') && depth > 0)
			depth--;
	}
	return true;
}

/* jansson's own words have pieces of the text in them. */
static const char *what_is_wrong(const json_error_t *error)
{
	return json_error_code(error) == json_error_duplicate_key ? "it has a member twice" : "it is no JSON";
}

struct json *json_read(struct span text, struct fault *fault)
{
	json_error_t error = {0};
	pthread_once(&once, wipe_what_is_freed);
	if (text.length > JSON_MOST) {
		fault_set(fault, FAULT_BROKEN, "it is longer than %zu KiB", JSON_MOST >> 10);
		return NULL;
	}
	if (!is_shallow(text)) {
		fault_set(fault, FAULT_BROKEN, "it is nested more than %d deep", JSON_DEEPEST);
		return NULL;
	}
	json_t *root = json_loadb(text.data ? text.data : "", text.length,
	                          JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
	if (!root)
		fault_set(fault, FAULT_BROKEN, "%s", what_is_wrong(&error));
	explicit_bzero(&error, sizeof error);
	if (root && !json_is_object(root)) {
		json_decref(root);
		root = NULL;
		fault_set(fault, FAULT_BROKEN, "it is JSON, but no object");
	}
	return (struct json *)root;
}

void json_end(struct json *json)
{
	json_decref((json_t *)json);
}

static const json_t *find(const struct json *json, const char *name)
{
	const json_t *member = json_object_get((const json_t *)json, name);
	return json_is_null(member) ? NULL : member;
}

enum member json_member_text(const struct json *json, const char *name, struct span *text)
{
	const json_t *member = find(json, name);
	if (!member)
		return MEMBER_ABSENT;
	if (!json_is_string(member))
		return MEMBER_OTHER;
	*text = (struct span){json_string_value(member), json_string_length(member)};
	return MEMBER_GOOD;
}

enum member json_member_number(const struct json *json, const char *name, uint64_t most, uint64_t *number)
{
	const json_t *member = find(json, name);
	if (!member)
		return MEMBER_ABSENT;
	double value = json_is_real(member) ? json_real_value(member) : 0;
	if (!(value >= 1))
		return MEMBER_OTHER;
	bool over = value >= (double)most;
	*number = over ? most : (uint64_t)value;
	return over || (double)*number == value ? MEMBER_GOOD : MEMBER_OTHER;
}
