#include "service_account.h"

#include <stddef.h>

#include "json.h"

static const struct wanted {
	const char *name;
	size_t offset;
} members[] = {
	{"client_email", offsetof(struct service_account, email)},
	{"private_key_id", offsetof(struct service_account, key_id)},
	{"private_key", offsetof(struct service_account, key)},
	{"token_uri", offsetof(struct service_account, token_uri)},
};

/* A key file has this for a service account, and other members for other kinds. */
static bool check_type(const struct json *json, struct fault *fault)
{
	struct span type;
	enum member found = json_member_text(json, "type", &type);
	return found == MEMBER_ABSENT || (found == MEMBER_GOOD && span_equal(type, SPAN("service_account"))) ||
	       fault_set(fault, FAULT_BROKEN, "its \"type\" is not \"service_account\"; create a JSON key for a service account");
}

static bool take(const struct json *json, const struct wanted *wanted, struct arena *arena, struct service_account *account,
                 struct fault *fault)
{
	struct span text = {0};
	enum member found = json_member_text(json, wanted->name, &text);
	if (found == MEMBER_ABSENT)
		return fault_set(fault, FAULT_BROKEN, "it has no \"%s\"; is it the whole JSON key of a service account?", wanted->name);
	if (found == MEMBER_OTHER || text.length == 0)
		return fault_set(fault, FAULT_BROKEN, "its \"%s\" is empty, or no text", wanted->name);
	*(struct span *)((char *)account + wanted->offset) = arena_span(arena, text);
	return true;
}

/* Nobody looks at it before it is used, so there is nobody to warn of http:// beyond this machine. */
static bool is_good(struct span uri, struct arena *arena, struct origin *endpoint)
{
	return origin_parse(uri, (struct origin_options){.query = true}, arena, endpoint, NULL) &&
	       (endpoint->tls || host_is_loopback(&endpoint->host));
}

static bool take_all(const struct json *json, struct arena *arena, struct service_account *account, struct fault *fault)
{
	if (!check_type(json, fault))
		return false;
	for (size_t i = 0; i < sizeof members / sizeof *members; i++)
		if (!take(json, &members[i], arena, account, fault))
			return false;
	return is_good(account->token_uri, arena, &account->endpoint) ||
	       fault_set(fault, FAULT_BROKEN, "its \"token_uri\" is no https:// URL; Google writes https://oauth2.googleapis.com/token");
}

bool service_account_read(struct span text, struct arena *arena, struct service_account *account, struct fault *fault)
{
	struct json *json = json_read(text, fault);
	*account = (struct service_account){0};
	if (!json)
		return fault_wrap(fault, "not the JSON key of a service account");
	bool good = take_all(json, arena, account, fault);
	json_end(json);
	return good;
}
