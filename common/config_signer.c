/* The injections that compute what they send: aws_sigv4, oauth2 and jwt. What they need is judged and kept as text. */
#include <stddef.h>

#include "config_internal.h"
#include "memory.h"

struct parameter {
	const char *name;
	const char *what;
	const char *const *words; /* where only these are allowed */
	bool url, number, word;
};

static void keep(struct reading *reading, struct injection *injection, const char *name, const char *value)
{
	struct string_list *names = &injection->parameter_names, *values = &injection->parameter_values;
	size_t room = names->count + 1;
	char **both[2] = {arena_alloc(reading->arena, room * sizeof(char *)),
	                  arena_alloc(reading->arena, room * sizeof(char *))};
	for (size_t i = 0; i < names->count; i++) {
		both[0][i] = names->list[i];
		both[1][i] = values->list[i];
	}
	both[0][room - 1] = arena_copy(reading->arena, name, strlen(name));
	both[1][room - 1] = arena_copy(reading->arena, value, strlen(value));
	*names = (struct string_list){both[0], room};
	*values = (struct string_list){both[1], room};
}

/* What AWS calls its regions and services. */
static bool is_word(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(text);
}

/* Where a client shows its key, or what it signed. */
static bool url_is_good(struct reading *reading, const struct node *node)
{
	struct origin origin;
	if (!config_origin(reading, node, (struct origin_options){.query = true}, &origin))
		return false;
	if (!origin.tls && !host_is_loopback(&origin.host))
		config_warning_at(reading, config_mark(reading, node),
		                  "secrets and tokens travel to and from %s over plain http, where everyone on the way can read them; "
		                  "is there an https:// address?", origin.host.name);
	return true;
}

static bool parameter_is_good(struct reading *reading, const struct node *node, const struct parameter *parameter)
{
	uint64_t number;
	unsigned word = UINT32_MAX;
	if (parameter->url)
		return url_is_good(reading, node);
	if (parameter->number)
		return config_number(reading, node, 1, UINT32_MAX, &number);
	if (parameter->words) {
		config_read_choice(reading, node, &word, parameter->words);
		return word != UINT32_MAX;
	}
	char *text = NULL;
	config_read_text(reading, node, &text, parameter->what);
	if (text && !*text)
		config_error(reading, node, "expected %s, found empty text", parameter->what);
	else if (text && parameter->word && !is_word(text))
		config_error(reading, node, "expected %s: it has small letters, digits and \"-\"", parameter->what);
	return text && *text;
}

static void read_parameter(struct reading *reading, const struct node *node, void *field, const void *detail)
{
	const struct parameter *parameter = detail;
	if (parameter_is_good(reading, node, parameter))
		keep(reading, field, parameter->name, node->text);
}

#define MOST_CLAIMS 64

/* Claims that are of one token: from a file they would be the same in all. */
static const struct {
	const char *name, *advice;
} own_claims[] = {
	{"exp", "; say how long one is good: ttl: 5m beside \"inject\""},
	{"iat", "; take it out"},
	{"nbf", ", as \"iat\"; take it out"},
	{"jti", " that goes to a token_url; take it out"},
};

/* False where it is made here (told). */
static bool may_claim(struct reading *reading, const struct node *name)
{
	for (size_t i = 0; i < LENGTH(own_claims); i++) {
		if (strcmp(name->text, own_claims[i].name) != 0)
			continue;
		config_error(reading, name, "\"%s\" is made anew with each token%s", own_claims[i].name, own_claims[i].advice);
		return false;
	}
	return true;
}

static void read_claims(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	if (!config_expect(reading, node, NODE_MAPPING, "claims such as {iss: me}"))
		return;
	if (node->count > MOST_CLAIMS) {
		config_error(reading, node, "expected at most %u claims, found %zu", MOST_CLAIMS, node->count);
		return;
	}
	for (size_t i = 0; i < node->count; i++) {
		const struct parameter claim = {
			.name = arena_format(reading->arena, "claims.%s", node->pairs[i].key->text), .what = "the value of a claim"};
		if (may_claim(reading, node->pairs[i].key))
			read_parameter(reading, node->pairs[i].value, field, &claim);
	}
}

static const char *const auth_words[] = {"basic", "body", NULL};
static const char *const alg_words[] = {"RS256", "ES256", "EdDSA", "HS256", NULL};

static const struct parameter region = {.name = "region", .what = "a region such as eu-central-1", .word = true},
                              service = {.name = "service", .what = "a service such as s3", .word = true},
                              token_url = {.name = "token_url", .what = "a URL", .url = true},
                              scope = {.name = "scope", .what = "a scope"},
                              auth = {.name = "auth", .words = auth_words},
                              alg = {.name = "alg", .words = alg_words},
                              github_app = {.name = "github_app", .what = "the id of a GitHub App"},
                              installation = {.name = "installation", .what = "a number", .number = true},
                              google = {.name = "google", .what = "a scope such as https://www.googleapis.com/auth/drive"};

static const struct config_key sigv4_keys[] = {
	{"region", read_parameter, 0, &region},
	{"service", read_parameter, 0, &service},
};
static const struct config_key oauth2_keys[] = {
	{"token_url", read_parameter, 0, &token_url},
	{"scope", read_parameter, 0, &scope},
	{"auth", read_parameter, 0, &auth},
};
static const struct config_key jwt_keys[] = {
	{"alg", read_parameter, 0, &alg},
	{"claims", read_claims, 0, NULL},
	{"token_url", read_parameter, 0, &token_url},
	{"github_app", read_parameter, 0, &github_app},
	{"installation", read_parameter, 0, &installation},
	{"google", read_parameter, 0, &google},
};

static void check_sigv4(struct reading *reading, const struct node *node)
{
	config_require(reading, node, "region", "region: eu-central-1");
	config_require(reading, node, "service", "service: s3");
}

static void check_oauth2(struct reading *reading, const struct node *node)
{
	config_require(reading, node, "token_url", "token_url: https://auth.example.com/token");
}

/* A GitHub App, a Google service account, or a JWT that is spelt out. */
static void check_jwt(struct reading *reading, const struct node *node)
{
	bool app = node_find(node, "github_app"), account = node_find(node, "google");
	bool spelt = node_find(node, "alg") || node_find(node, "claims") || node_find(node, "token_url");
	if (app + account + spelt > 1)
		config_error(reading, node, "github_app, google, and alg with claims and token_url exclude each other");
	else if (!app && !account)
		config_require(reading, node, "alg", "alg: RS256 and claims: { iss: NAME }, or github_app: ID, or google: SCOPE");
	if (node_find(node, "installation") && !app)
		config_error(reading, node, "\"installation\" goes with github_app");
}

const struct config_signer config_sigv4 = {"aws_sigv4", INJECT_AWS_SIGV4, KEYS(sigv4_keys, "aws_sigv4"), check_sigv4};
const struct config_signer config_oauth2 = {"oauth2", INJECT_OAUTH2, KEYS(oauth2_keys, "oauth2"), check_oauth2};
const struct config_signer config_jwt = {"jwt", INJECT_JWT, KEYS(jwt_keys, "jwt"), check_jwt};
const struct config_signer *const config_signers[3] = {&config_sigv4, &config_oauth2, &config_jwt};

void config_read_signer(struct reading *reading, const struct node *node, void *field, const void *detail)
{
	const struct config_signer *signer = detail;
	if (config_read_mapping(reading, node, &signer->keys, field))
		signer->check(reading, node);
}
