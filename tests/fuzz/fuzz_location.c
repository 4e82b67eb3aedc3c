/* URLs of an answer: what is rewritten leads back to where it came from, and the secret never gets through. */
#include <stdint.h>
#include <stdlib.h>

#include "location.h"

#define SECRET "12345:AbCd/e"
#define SENT "12345%3AAbCd%2Fe"

static struct named_source secret = {.id = (char *)"secret"};
static char *templates[] = {(char *)"/bot{secret}", (char *)"/file/bot{secret}"};
static struct injection injection = {.kind = INJECT_PATH, .paths = {templates, 2}};
static struct config_credential credential = {
	.name = (char *)"api",
	.secrets = &secret,
	.secret_count = 1,
	.injections = &injection,
	.upstream = {.host = {HOST_NAME, 10, "up.example", {0}}, .port = 8080, .path = (char *)"/base"},
};
static const struct span values[] = {{SECRET, sizeof SECRET - 1}};

static int hex(char c)
{
	c = span_lower(c);
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* With every escape decoded. */
static bool shows_secret(struct span text)
{
	char *decoded = malloc(text.length + 1);
	size_t used = 0;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (c == '%' && i + 2 < text.length && hex(text.data[i + 1]) >= 0 && hex(text.data[i + 2]) >= 0) {
			c = (char)(hex(text.data[i + 1]) << 4 | hex(text.data[i + 2]));
			i += 2;
		}
		decoded[used++] = c;
	}
	bool shown = memmem(decoded, used, SECRET, sizeof SECRET - 1) != NULL;
	free(decoded);
	return shown;
}

/* "/api/rest" is "http://up.example:8080/base/rest", and that is "/api/rest" again. */
static void check_way_back(struct span out, const struct location_base *base, struct arena *arena)
{
	struct span again, rest = span_from(out, base->prefixes[0].endpoint.length);
	const char *url = arena_format(arena, "http://up.example:8080/base%.*s", SPAN_ARGS(rest));
	if (!location_rewrite(span_of(url), base, arena, &again) || !span_equal(again, out))
		abort();
}

static void check_plain(struct span value)
{
	struct arena arena = {0};
	struct location_base base;
	struct location_request request = {&credential, values, SPAN("/api/dir/x?q"), SPAN("/base/dir/x?q"), 0};
	struct span out;
	credential.injection_count = 0;
	location_base_make(&base, &request, &arena);
	bool changed = location_rewrite(value, &base, &arena, &out);
	if (changed && !span_starts(out, SPAN("/api")))
		abort();
	if (changed && out.length > 4 && out.data[4] != '/' && out.data[4] != '?' && out.data[4] != '#')
		abort();
	if (!changed && !span_equal(out, value))
		abort();
	if (changed && !memchr(out.data, 0, out.length))
		check_way_back(out, &base, &arena);
	arena_free(&arena);
}

static void check_secret(struct span value, bool in_place)
{
	struct arena arena = {0};
	struct location_base base;
	struct location_request request = {
		&credential, values, in_place ? SPAN("/api/bottoken/x") : SPAN("/api/x"), SPAN("/base/bot" SENT "/x"), 0,
	};
	struct span out;
	credential.injection_count = 1;
	location_base_make(&base, &request, &arena);
	location_rewrite(value, &base, &arena, &out);
	if (shows_secret(out))
		abort();
	location_rewrite_link(value, &base, &arena, &out);
	if (shows_secret(out))
		abort();
	arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span value = {(const char *)data, size};
	check_plain(value);
	check_secret(value, true);
	check_secret(value, false);
	return 0;
}
