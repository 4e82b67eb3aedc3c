/* inject: where the secret goes, and whether what is said about it fits together. */
#include <stddef.h>

#include "config_internal.h"
#include "memory.h"
#include "path.h"

#define MOST_INJECTIONS 16

/* One mapping of `inject` while it is read. */
struct draft {
	struct injection injection;
	unsigned kinds; /* how many of the keys that say a kind */
	bool value_said;
};

/* Fields that say how a message is framed or where it goes: proxyd writes them, or they end at each hop. */
static const char *const refused_headers[] = {
	"Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization",
	"Proxy-Authenticate", "TE", "Trailer", "Upgrade", "Expect", "HTTP2-Settings", NULL,
};

static void set_kind(struct draft *draft, enum injection_kind kind)
{
	draft->injection.kind = kind;
	draft->kinds++;
}

static void read_header(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct draft *draft = field;
	set_kind(draft, INJECT_HEADER);
	if (!config_expect(reading, node, NODE_TEXT, "the name of a header"))
		return;
	draft->injection.name = config_keep(reading, node);
	if (!config_is_token(node_text(node)))
		config_error(reading, node, "expected the name of a header, which has letters, digits and \"-\"");
	for (size_t i = 0; refused_headers[i]; i++)
		if (span_equal_nocase(node_text(node), span_of(refused_headers[i])))
			config_error(reading, node, "%s cannot be injected: it says how the message travels, and proxyd writes it",
			             refused_headers[i]);
}

static void read_value(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct draft *draft = field;
	draft->value_said = true;
	config_read_text(reading, node, &draft->injection.value, "text such as \"Bearer {secret}\"");
	struct span text = draft->injection.value ? node_text(node) : (struct span){0};
	if (draft->injection.value && (text.length == 0 || span_trim(text).length != text.length))
		config_error(reading, node, "expected text without blanks at its ends");
	for (size_t i = 0; i < text.length; i++) {
		if ((unsigned char)text.data[i] < 0x80)
			continue;
		config_error(reading, node, "a header's value has ASCII characters only");
		return;
	}
}

/* basic: USER */
static void read_basic(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct draft *draft = field;
	set_kind(draft, INJECT_BASIC);
	config_read_text(reading, node, &draft->injection.name, "the user name");
	if (draft->injection.name && strchr(draft->injection.name, ':'))
		config_error(reading, node, "a user name of Basic authentication has no \":\" in it");
}

static void read_query(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct draft *draft = field;
	set_kind(draft, INJECT_QUERY);
	config_read_text(reading, node, &draft->injection.name, "the name of a query parameter");
	if (draft->injection.name && !*draft->injection.name)
		config_error(reading, node, "expected the name of a query parameter, found empty text");
}

static void read_cookie(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct draft *draft = field;
	set_kind(draft, INJECT_COOKIE);
	if (!config_expect(reading, node, NODE_TEXT, "the name of a cookie"))
		return;
	draft->injection.name = config_keep(reading, node);
	if (!config_is_token(node_text(node)))
		config_error(reading, node, "expected the name of a cookie, which has letters, digits, \"-\" and \"_\"");
}

static bool count_name(struct span name, void *context)
{
	(void)name;
	++*(size_t *)context;
	return true;
}

/* The template with "x" in each {NAME}'s place must be what path_canonical() makes of it. */
static const char *wrong_path(struct span text)
{
	char plain[512], canonical[3 * sizeof plain + 1];
	size_t names = 0, used = 0, length = 0;
	if (text.length >= sizeof plain)
		return "is longer than 511 bytes";
	if (!config_template(text, count_name, &names) || names == 0)
		return "has no {secret} in it";
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] == '{')
			i = (size_t)((const char *)memchr(text.data + i, '}', text.length - i) - text.data);
		plain[used++] = text.data[i] == '}' ? 'x' : text.data[i];
	}
	if (memchr(plain, '?', used) || memchr(plain, '#', used))
		return "has a \"?\" or \"#\"";
	enum path_result result = path_canonical((struct span){plain, used}, (struct path_options){.whole_segments = true},
	                                         canonical, &length);
	if (result != PATH_OK)
		return path_result_text(result);
	if (canonical[length - 1] == '/')
		return "ends in \"/\"";
	bool same = span_equal((struct span){plain, used}, (struct span){canonical, length});
	return same ? NULL : "has characters that a path escapes";
}

static const struct text_check path_templates = {"a path such as /bot{secret}", true, wrong_path};

static void read_path_templates(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct draft *draft = field;
	set_kind(draft, INJECT_PATH);
	config_read_names(reading, node, &draft->injection.paths, &path_templates);
	if (node->kind == NODE_LIST && node->count == 0)
		config_error(reading, node, "expected a path such as /bot{secret}, found an empty list");
}

static const struct config_key inject_keys[] = {
	{"header", read_header, 0, NULL},
	{"value", read_value, 0, NULL},
	{"basic", read_basic, 0, NULL},
	{"query", read_query, 0, NULL},
	{"path", read_path_templates, 0, NULL},
	{"cookie", read_cookie, 0, NULL},
	{"aws_sigv4", config_read_signer, 0, &config_sigv4},
	{"oauth2", config_read_signer, 0, &config_oauth2},
	{"jwt", config_read_signer, 0, &config_jwt},
};
static const struct config_keys inject_mapping =
	KEYS(inject_keys, "an injection such as { header: x-api-key, value: \"{secret}\" }");

static void read_one(struct reading *reading, const struct node *node, struct config_credential *credential)
{
	struct draft draft = {.injection.mark = config_mark(reading, node)};
	if (!config_read_mapping(reading, node, &inject_mapping, &draft))
		return;
	for (size_t i = 0; i < node->count; i++)
		for (size_t k = 0; k < LENGTH(config_signers); k++)
			if (!strcmp(node->pairs[i].key->text, config_signers[k]->name))
				set_kind(&draft, config_signers[k]->kind);
	struct injection *injection = &draft.injection;
	if (draft.kinds != 1) {
		config_error(reading, node, "expected one of header, basic, query, path, cookie, aws_sigv4, oauth2 and jwt, found "
		                            "%u; what goes to several places is a list of mappings", draft.kinds);
		return;
	}
	if (draft.value_said && injection->kind != INJECT_HEADER)
		config_error(reading, node, "\"value\" goes with \"header\" only");
	if (injection->kind == INJECT_HEADER)
		config_require(reading, node, "value", "value: \"{secret}\" or value: \"Bearer {secret}\"");
	else if (!injection->value)
		injection->value = arena_copy(reading->arena, "{secret}", 8);
	credential->injections[credential->injection_count++] = *injection;
}

void config_read_inject(struct reading *reading, const struct node *node, void *field, const void *unused)
{
	(void)unused;
	struct config_credential *credential = field;
	size_t count;
	const struct node *item;
	config_items(node, 0, &count);
	credential->injection_count = 0;
	if (count == 0 || count > MOST_INJECTIONS) {
		config_error(reading, node, "expected 1 to %u injections, found %zu", MOST_INJECTIONS, count);
		return;
	}
	credential->injections = arena_zero(reading->arena, count * sizeof *credential->injections);
	for (size_t i = 0; (item = config_items(node, i, &count)); i++)
		read_one(reading, item, credential);
}
