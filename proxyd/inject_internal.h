/* What the files of inject share: what each credential sends, rendered, and what goes out of an agent's request. */
#ifndef KEYSTILE_INJECT_INTERNAL_H
#define KEYSTILE_INJECT_INTERNAL_H

#include "inject.h"
#include "secret.h"
#include "sign.h"

/* What becomes of a field by its name. */
enum name_rule {
	NAME_KEPT,
	NAME_DROPPED,
	NAME_EXPECT,
	NAME_TE,
	NAME_UPGRADE,
	NAME_COOKIE,
	NAME_PROTOCOLS, /* Sec-WebSocket-Protocol */
	NAME_CODINGS,   /* Accept-Encoding, where the response is searched */
};

/* Names in lower case, with "-" for all that is neither letter nor digit: servers that hand fields on as variables
 * (CGI, WSGI, PHP) cannot tell X_Api_Key from X-Api-Key. */
struct name_row {
	struct span name;
	enum name_rule rule;
};

struct name_table {
	struct name_row *rows;
	size_t count;
	uint64_t lengths; /* a bit for each length that a name in it has, modulo 64 */
};

struct name_list {
	struct span *list;
	size_t count;
};

/* A path template as the judge writes it into a path, and what is sent in its place. */
struct path_template {
	struct span text, value;
};

/* What one credential sends. All values are in guarded memory. */
struct rendering {
	bool ready;              /* every secret is there and fits its places */
	const char *unfit;       /* not ready: why a secret cannot be sent; NULL: one is not there */
	struct name_table names; /* what goes out of the agent's fields */
	struct fields headers;
	struct span cookie;      /* "sid=…", several with "; " between; empty: none */
	struct span query;       /* "key=…", several with "&" between; empty: none */
	struct name_list cookie_names, query_names;
	struct needle_set needles; /* what responses are searched for */
	struct path_template *paths; /* one for each of the injection's `paths` */
	size_t path_count;
	const struct signer *signer; /* NULL: nothing is signed */
};

struct inject_table {
	struct arena arena; /* all that is no secret */
	struct secret_arena *secrets;
	struct rendering *renderings; /* by the credential's number */
	struct name_table open;       /* towards an allowed host */
};

/* One request while the agent's values are taken out of it. */
struct strip {
	const struct inject_table *table;
	const struct rendering *rendering; /* NULL: an allowed host */
	const struct token_table *tokens;  /* NULL: there are none */
	const struct request *request;
	bool upgrade; /* it may ask for other protocols */
	struct arena *arena;
};

/* inject_names.c: the table towards a credential, or, NULL, towards an allowed host; and what it says of a name. */
struct name_table inject_names(const struct config_credential *credential, struct arena *arena);
enum name_rule inject_name_rule(const struct name_table *table, struct span name);
/* Are the two one name to a reader that knows no case and no sign but letters and digits? */
bool inject_names_alike(struct span a, struct span b);

/* inject_token.c: does a session token stand anywhere in `text`? In a field's value one in Basic counts, in a parameter
 * one with escapes. */
bool inject_holds_token(const struct strip *strip, struct span text);
bool inject_field_holds_token(const struct strip *strip, struct span value);
bool inject_parameter_holds_token(const struct strip *strip, struct span text);

/* inject_parameters.c: a query, a Cookie line, a list of protocols, without what goes. Where nothing goes: `text`. */
struct span inject_strip_query(const struct strip *strip, struct span text);
struct span inject_strip_cookie(const struct strip *strip, struct span text);
struct span inject_strip_protocols(const struct strip *strip, struct span text);
/* Accept-Encoding: what can be read, or "identity". */
struct span inject_strip_codings(const struct strip *strip, struct span text);

/* inject_fields.c: appends the agent's fields that stay, then what is injected; or the trailers that stay. */
void inject_fields(const struct strip *strip, struct fields *out);
void inject_trailing_fields(const struct strip *strip, const struct fields *trailers, struct fields *out);

#endif
