/* inject: where a secret goes, and whether what is said about it fits together. */
#include "config_rows.h"

#define ONE "version: 1\nprofiles: { p: {} }\ncredentials:\n  c:\n    upstream: https://a.com\n    secret: env:A\n    inject: "
#define TWO                                                                                                            \
	"version: 1\nprofiles: { p: {} }\ncredentials:\n  c:\n    upstream: https://a.com\n"                            \
	"    secrets: { id: env:A, key: env:B }\n    inject: "
#define THREE(inject)                                                                                                  \
	"version: 1\nprofiles: { p: {} }\nvault: { file: v, key: \"file:k\" }\ncredentials:\n  c:\n    upstream: https://a.com\n" \
	"    secrets: { id: env:A, refresh: vault:r }\n    inject: " inject "\n"
#define SIGNED                                                                                                         \
	"version: 1\nprofiles: { p: {} }\ncredentials:\n  c:\n    upstream: https://a.com\n"                            \
	"    secrets: { secret: env:A, team: env:B }\n    inject: ["
/* inject stands at line 7, of THREE at line 8. */

/* kind name value paths parameters */
static void write_injection(const struct injection *injection, struct buffer *out)
{
	static const char *const kinds[] = {"header", "basic", "query", "path", "cookie", "aws_sigv4", "oauth2", "jwt"};
	buffer_format(out, "%s", kinds[injection->kind]);
	if (injection->name)
		buffer_format(out, " name=%s", injection->name);
	if (injection->value)
		buffer_format(out, " value=%s", injection->value);
	for (size_t i = 0; i < injection->paths.count; i++)
		buffer_format(out, " path=%s", injection->paths.list[i]);
	assert_int_equal(injection->parameter_names.count, injection->parameter_values.count);
	for (size_t i = 0; i < injection->parameter_names.count; i++)
		buffer_format(out, " %s=%s", injection->parameter_names.list[i], injection->parameter_values.list[i]);
	buffer_format(out, " %u:%u\n", injection->mark.line, injection->mark.column);
}

static const struct told_row good_rows[] = {
	{ONE "{ header: X-Key, value: \"{secret}\" }", "header name=X-Key value={secret} 7:13\n"},
	{ONE "{ header: X-Key, value: \"a {secret} b {secret}\" }",
	 "header name=X-Key value=a {secret} b {secret} 7:13\n"},
	{ONE "{ basic: user }", "basic name=user value={secret} 7:13\n"},
	{ONE "{ basic: \"\" }", "basic name= value={secret} 7:13\n"},
	{ONE "{ query: api key }", "query name=api key value={secret} 7:13\n"},
	{ONE "{ cookie: sid }", "cookie name=sid value={secret} 7:13\n"},
	{ONE "{ path: \"/bot{secret}\" }", "path value={secret} path=/bot{secret} 7:13\n"},
	{ONE "{ path: [\"/bot{secret}\", \"/file/bot{secret}/x\"] }",
	 "path value={secret} path=/bot{secret} path=/file/bot{secret}/x 7:13\n"},
	{ONE "\n      - header: X-Key\n        value: \"{secret}\"\n      - { query: key }\n      - { header: X-V, value: \"1\" }\n",
	 "header name=X-Key value={secret} 8:9\nquery name=key value={secret} 10:9\nheader name=X-V value=1 11:9\n"},
	{TWO "{ header: X-Key, value: \"{id}:{key}\" }", "header name=X-Key value={id}:{key} 7:13\n"},
	{TWO "{ path: \"/a{id}-{key}\" }", "path value={secret} path=/a{id}-{key} 7:13\n"},
	{TWO "{ aws_sigv4: { region: eu-central-1, service: s3 } }",
	 "aws_sigv4 value={secret} region=eu-central-1 service=s3 7:13\n"},
	{TWO "{ oauth2: { token_url: https://a.com/t, scope: a b, auth: body } }",
	 "oauth2 value={secret} token_url=https://a.com/t scope=a b auth=body 7:13\n"},
	{ONE "{ jwt: { alg: RS256, claims: { iss: me, sub: \"1\" }, token_url: https://a.com } }",
	 "jwt value={secret} alg=RS256 claims.iss=me claims.sub=1 token_url=https://a.com 7:13\n"},
	{ONE "{ jwt: { github_app: 12, installation: 34 } }", "jwt value={secret} github_app=12 installation=34 7:13\n"},
	{ONE "{ jwt: { google: scope } }", "jwt value={secret} google=scope 7:13\n"},
	{ONE "{ jwt: { github_app: 12 } }\n    ttl: 5m", "jwt value={secret} github_app=12 7:13\n"},
	{TWO "{ oauth2: { token_url: \"https://a.com:8443/o/token/?p=x&y\" } }\n    ttl: 1h",
	 "oauth2 value={secret} token_url=https://a.com:8443/o/token/?p=x&y 7:13\n"},
	{TWO "[{ oauth2: { token_url: https://a.com/t } }, { header: Client-Id, value: \"{id}\" }]",
	 "oauth2 value={secret} token_url=https://a.com/t 7:14\nheader name=Client-Id value={id} 7:58\n"},
	{SIGNED "{ jwt: { alg: ES256 } }, { header: X-Team, value: \"{team}\" }]",
	 "jwt value={secret} alg=ES256 7:14\nheader name=X-Team value={team} 7:39\n"},
	{"version: 1\nprofiles: { p: {} }\ncredentials: { c: { upstream: \"https://*.github.com\", secret: env:A,\n"
	 "  inject: { jwt: { github_app: 1, installation: 2 } } } }\n",
	 "jwt value={secret} github_app=1 installation=2 4:11\n"},
	{"version: 1\nprofiles: { p: {} }\nvault: { file: v, key: \"file:k\" }\ncredentials: { c: { upstream: https://a,\n"
	 "  secrets: { id: env:A, refresh: vault:r }, inject: { oauth2: { token_url: https://a } } } }\n",
	 "oauth2 value={secret} token_url=https://a 5:53\n"},
};

static void test_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof good_rows / sizeof *good_rows; i++) {
		AUTO_BUFFER struct buffer came = {0};
		struct config *config = good(good_rows[i].text);
		for (size_t k = 0; k < config->credentials[0].injection_count; k++)
			write_injection(&config->credentials[0].injections[k], &came);
		compare(good_rows[i].text, "injections", came.data, good_rows[i].told);
		config_free(config);
	}
	settle();
}

#define KINDS "expected one of header, basic, query, path, cookie, aws_sigv4, oauth2 and jwt, found "
#define LIST_OF "; what goes to several places is a list of mappings"
#define NOWHERE                                                                                                        \
	"no secret goes anywhere: a value needs {secret} or the {NAME} of one of \"secrets\"; a constant stands only beside " \
	"such a one"
#define TRAVELS " cannot be injected: it says how the message travels, and proxyd writes it"

#define NEEDS                                                                                                          \
	"oauth2 needs secrets named \"id\" and \"key\", or \"id\" and \"refresh\"; this credential has "
#define NOT_ITSELF ", and must not reach the upstream itself"

static const struct told_row rows[] = {
	{ONE "Authorization",
	 "7:13: expected an injection such as { header: x-api-key, value: \"{secret}\" } (a mapping), found text"},
	{ONE "[]", "7:13: expected 1 to 16 injections, found 0"},
	{ONE "{}", "7:13: " KINDS "0" LIST_OF},
	{ONE "{ header: A, value: \"{secret}\", query: b }", "7:13: " KINDS "2" LIST_OF},
	{ONE "{ value: \"{secret}\" }", "7:13: " KINDS "0" LIST_OF},
	{ONE "{ basic: x, value: \"{secret}\" }", "7:13: \"value\" goes with \"header\" only"},
	{ONE "{ header: A }", "7:13: \"value\" is missing here; write value: \"{secret}\" or value: \"Bearer {secret}\""},
	{ONE "{ hedaer: A, value: \"{secret}\" }",
	 "7:13: " KINDS "0" LIST_OF "\n7:15: unknown key \"hedaer\"; did you mean \"header\"? (known here: header, value, basic, "
	 "query, path, cookie, aws_sigv4, oauth2, jwt)"},
	{ONE "{ header: \"X Key\", value: \"{secret}\" }",
	 "7:23: expected the name of a header, which has letters, digits and \"-\""},
	{ONE "{ header: \"Authorization:\", value: \"{secret}\" }",
	 "7:23: expected the name of a header, which has letters, digits and \"-\""},
	{ONE "[{ header: host, value: \"{secret}\" }, { header: Proxy-Authorization, value: \"{secret}\" }]",
	 "7:24: Host" TRAVELS "\n7:61: Proxy-Authorization" TRAVELS},
	{ONE "{ header: A, value: {secret} }",
	 "7:33: expected text such as \"Bearer {secret}\" (text), found a mapping; text that starts with \"{\" goes in quotes"},
	{ONE "{ header: A, value: \"\" }", "7:33: expected text without blanks at its ends"},
	{ONE "{ header: A, value: \"{secret} \" }", "7:33: expected text without blanks at its ends"},
	{ONE "{ header: A, value: \"{secret}\\r\\nB: c\" }",
	 "7:33: expected text such as \"Bearer {secret}\", found text with a control character or a line break in it"},
	{ONE "{ header: A, value: \"\xc3\xbc{secret}\" }", "7:33: a header's value has ASCII characters only"},
	{ONE "{ header: A, value: \"Bearer x\" }", "7:13: " NOWHERE},
	{ONE "{ header: A, value: \"{secrt}\" }", "7:13: {secrt} is no secret of this credential, which has {secret}"},
	{ONE "{ header: A, value: \"{secret\" }",
	 "7:13: a \"{\" or \"}\" here that is not part of a {NAME} such as {secret}"},
	{ONE "{ header: A, value: \"{secret}}\" }",
	 "7:13: a \"{\" or \"}\" here that is not part of a {NAME} such as {secret}"},
	{TWO "{ header: A, value: \"{secret}\" }", "7:13: {secret} is no secret of this credential, which has {id}, {key}"},
	{TWO "{ basic: x }", "7:13: this injection needs a secret named \"secret\"; this credential has {id}, {key}"},
	{ONE "{ basic: \"a:b\" }", "7:22: a user name of Basic authentication has no \":\" in it"},
	{ONE "{ query: \"\" }", "7:22: expected the name of a query parameter, found empty text"},
	{ONE "{ cookie: \"a=b\" }", "7:23: expected the name of a cookie, which has letters, digits, \"-\" and \"_\""},
	{ONE "{ path: [] }", "7:21: expected a path such as /bot{secret}, found an empty list"},
	{ONE "{ path: /bot }", "7:21: expected a path such as /bot{secret}: has no {secret} in it"},
	{ONE "{ path: \"bot{secret}\" }", "7:21: expected a path such as /bot{secret}: does not begin with /"},
	{ONE "{ path: \"/{secret}/\" }", "7:21: expected a path such as /bot{secret}: ends in \"/\""},
	{ONE "{ path: \"/{secret}/../x\" }", "7:21: expected a path such as /bot{secret}: has a dot segment (. or ..)"},
	{ONE "{ path: \"//{secret}\" }", "7:21: expected a path such as /bot{secret}: has an empty segment (//)"},
	{ONE "{ path: \"/{secret}?x\" }", "7:21: expected a path such as /bot{secret}: has a \"?\" or \"#\""},
	{ONE "{ path: \"/a b{secret}\" }",
	 "7:21: expected a path such as /bot{secret}: has characters that a path escapes"},
	{ONE "{ path: [\"/a{secret}\", \"/b{x}\"] }", "7:13: {x} is no secret of this credential, which has {secret}"},
	/* One place, one injection. */
	{ONE "[{ header: A, value: \"{secret}\" }, { header: a, value: \"{secret}\" }]",
	 "7:48: a is injected twice"},
	{ONE "[{ header: authorization, value: \"{secret}\" }, { basic: x }]",
	 "7:60: Authorization is injected twice"},
	{ONE "[{ path: \"/a{secret}\" }, { path: \"/b{secret}\" }]",
	 "7:38: path is injected twice; several paths are one \"path\" with a list"},
	{ONE "[{ header: Cookie, value: \"a={secret}\" }, { cookie: b }]",
	 "7:55: b is injected twice"},
	{ONE "[{ query: a }, { query: A }, { cookie: a }, { cookie: b }]", ""},
	/* Signers. */
	{TWO "{ aws_sigv4: {} }", "7:26: \"region\" is missing here; write region: eu-central-1\n"
	                          "7:26: \"service\" is missing here; write service: s3"},
	{ONE "{ aws_sigv4: { region: a, service: \"\" } }",
	 "7:13: aws_sigv4 needs a secret named \"id\"; this credential has {secret}\n"
	 "7:13: aws_sigv4 needs a secret named \"key\"; this credential has {secret}\n"
	 "7:48: expected a service such as s3, found empty text"},
	{TWO "{ aws_sigv4: { region: \"a/b\", service: S3 } }",
	 "7:36: expected a region such as eu-central-1: it has small letters, digits and \"-\"\n"
	 "7:52: expected a service such as s3: it has small letters, digits and \"-\""},
	{TWO "[{ header: x-amz-date, value: \"{id}\" }, { aws_sigv4: { region: a, service: s3 } }]",
	 "7:14: X-Amz-Date is written by aws_sigv4"},
	{TWO "{ oauth2: { auth: form } }", "7:23: \"token_url\" is missing here; write token_url: https://auth.example.com/token\n"
	                                   "7:31: expected basic or body"},
	{TWO "{ oauth2: { token_url: \"https://*.a.com\" } }", "7:36: a URL with a wildcard, where one server is needed"},
	{"version: 1\nprofiles: { p: {} }\ncredentials: { c: { upstream: https://a,\n"
	 "  secrets: { id: env:A, refresh: env:B }, inject: { oauth2: { token_url: https://a } } } }\n",
	 "4:34: a refresh token changes as it is used and must be stored: only a vault: entry will do"},
	{TWO "{ oauth2: { token_url: \"https://u:p@a.com/t\" } }", "7:36: a host has a user name or password (`@`) in front; leave that out"},
	{TWO "{ oauth2: { token_url: \"https://a.com/t#x\" } }",
	 "7:36: a URL with a fragment, which no server is sent; take off what stands from \"#\" on"},
	{TWO "{ oauth2: { token_url: \"https://a.com/../t\" } }", "7:36: the URL's path has a dot segment (. or ..)"},
	{ONE "{ oauth2: { token_url: https://a.com } }", "7:13: " NEEDS "{secret}"},
	{SIGNED "{ oauth2: { token_url: https://a.com } }]", "7:14: " NEEDS "{secret}, {team}"},
	/* What is shown to the token endpoint, or signed with, goes nowhere else. */
	{TWO "[{ oauth2: { token_url: https://a.com } }, { header: X-Key, value: \"{id} {key}\" }]",
	 "7:56: {key} is what its tokens are got for, as oauth2 has it" NOT_ITSELF},
	{TWO "[{ path: \"/x{key}\" }, { oauth2: { token_url: https://a.com } }]",
	 "7:14: {key} is what its tokens are got for, as oauth2 has it" NOT_ITSELF},
	{THREE("[{ oauth2: { token_url: https://a.com } }, { header: X-Key, value: \"{refresh}\" }]"),
	 "8:56: {refresh} is what its tokens are got for, as oauth2 has it" NOT_ITSELF},
	{ONE "[{ jwt: { alg: HS256 } }, { header: X-Key, value: \"{secret}\" }]",
	 "7:39: {secret} is what its tokens are signed with, as jwt has it" NOT_ITSELF},
	{ONE "[{ jwt: { alg: HS256 } }, { query: key }]",
	 "7:39: {secret} is what its tokens are signed with, as jwt has it" NOT_ITSELF},
	{TWO "{ jwt: { alg: ES256 } }",
	 "7:13: jwt, for the key that it signs with, needs a secret named \"secret\"; this credential has {id}, {key}"},
	{TWO "{ jwt: { google: s } }",
	 "7:13: jwt, for the service account's JSON, needs a secret named \"secret\"; this credential has {id}, {key}"},
	/* Claims of one token. */
	{ONE "{ jwt: { alg: HS256, claims: { iss: a, exp: \"1\", iat: \"1\", nbf: \"1\", jti: x } } }",
	 "7:52: \"exp\" is made anew with each token; say how long one is good: ttl: 5m beside \"inject\"\n"
	 "7:62: \"iat\" is made anew with each token; take it out\n"
	 "7:72: \"nbf\" is made anew with each token, as \"iat\"; take it out\n"
	 "7:82: \"jti\" is made anew with each token that goes to a token_url; take it out"},
	{"version: 1\nprofiles: { p: {} }\ncredentials: { c: { upstream: \"https://*.a.com\", secret: env:A,\n"
	 "  inject: { jwt: { github_app: 1, installation: 2 } } } }\n",
	 "4:11: \"installation\" gets tokens from the upstream, which must be one server here, without \"*.\""},
	{ONE "{ jwt: {} }", "7:20: \"alg\" is missing here; write alg: RS256 and claims: { iss: NAME }, or github_app: ID, or "
	                    "google: SCOPE"},
	{ONE "{ jwt: { alg: none, claims: [] } }", "7:27: expected RS256, ES256, EdDSA or HS256\n"
	                                           "7:41: expected claims such as {iss: me} (a mapping), found a list"},
	{ONE "{ jwt: { alg: RS256, google: x } }",
	 "7:20: github_app, google, and alg with claims and token_url exclude each other"},
	{ONE "{ jwt: { google: x, installation: 5 } }", "7:20: \"installation\" goes with github_app"},
	{ONE "{ jwt: { github_app: 1, installation: x } }", "7:51: `x` is not a whole number from 1 to 4294967295"},
};

static void test_errors(void **state)
{
	(void)state;
	expect_errors(ROWS(rows));
}

#define PLAIN(host)                                                                                                    \
	"secrets and tokens travel to and from " host " over plain http, where everyone on the way can read them; is there " \
	"an https:// address?"

static const struct told_row warning_rows[] = {
	{TWO "{ header: A, value: \"{key}\" }", "6:20: secret \"id\" is not used by any injection"},
	{ONE "[{ basic: x }, { header: A, value: constant }]", ""},
	{TWO "{ oauth2: { token_url: http://a.com/t } }", "7:36: " PLAIN("a.com")},
	{ONE "{ jwt: { alg: HS256, token_url: http://10.0.0.1/t } }", "7:45: " PLAIN("10.0.0.1")},
	{TWO "{ oauth2: { token_url: http://localhost:8080/t } }", ""},
	{TWO "{ oauth2: { token_url: \"http://[::1]/t\" } }", ""},
};

static void test_warnings(void **state)
{
	(void)state;
	expect_warnings(ROWS(warning_rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_warnings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
