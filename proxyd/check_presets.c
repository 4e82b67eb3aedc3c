/* proxyd --presets: the compiled-in presets, read as the credentials that they are, and told. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"
#include "check.h"
#include "config.h"
#include "log.h"
#include "memory.h"
#include "preset.h"

#define LABEL_WIDTH 15

/* The first label of a block stands alone; the lines below it are indented as far. */
static void print_label(const char *label)
{
	printf("  %-*s", LABEL_WIDTH, label);
}

/* The preset's first comment says what the service is. */
static void print_title(const struct config_credential *credential)
{
	const struct preset *preset = preset_find(span_of(credential->name));
	struct span text = {preset->text, preset->length}, line = span_split(&text, '\n');
	printf("%s\n", credential->name);
	if (span_starts(line, SPAN("# "))) {
		print_label("what");
		printf("%.*s\n", SPAN_ARGS(span_from(line, 2)));
	}
}

static void print_upstream(const struct origin *upstream)
{
	AUTO_BUFFER struct buffer text = {0};
	origin_format(upstream, &text);
	print_label("upstream");
	printf("%.*s\n", SPAN_ARGS(buffer_view(&text)));
}

static void print_injection(const struct injection *injection, const char *label)
{
	static const char *const kinds[] = {
		[INJECT_HEADER] = "header",   [INJECT_BASIC] = "basic",         [INJECT_QUERY] = "query",
		[INJECT_PATH] = "path",       [INJECT_COOKIE] = "cookie",       [INJECT_AWS_SIGV4] = "aws_sigv4",
		[INJECT_OAUTH2] = "oauth2",   [INJECT_JWT] = "jwt",
	};
	print_label(label);
	printf("%s", kinds[injection->kind]);
	if (injection->name)
		printf(" %s", injection->name);
	if (injection->kind == INJECT_HEADER)
		printf(": %s", injection->value);
	for (size_t i = 0; i < injection->paths.count; i++)
		printf(" %s", injection->paths.list[i]);
	putchar('\n');
}

static void print_rules(const struct config_credential *credential)
{
	for (size_t i = 0; i < credential->rules.count; i++) {
		print_label(i ? "" : "rules");
		printf("%s\n", credential->rules.list[i].text);
	}
	if (credential->encoded_slash) {
		print_label("encoded_slash");
		puts("true");
	}
	if (credential->http2 == HTTP2_OFF) {
		print_label("http2");
		puts("off");
	}
}

/* The variables, one a line, behind a label that only the first one has. */
static void __attribute__((format(printf, 3, 4)))
print_variable(bool *first, const char *name, const char *format, ...)
{
	va_list arguments;
	print_label(*first ? "env" : "");
	printf("%s = ", name);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	*first = false;
}

static void print_env(const struct config_credential *credential)
{
	const struct config_env *env = &credential->env;
	const char *path = env->path ? env->path : "", *prefix = env->token_prefix;
	bool first = true;
	for (size_t i = 0; i < env->base_url.count; i++)
		print_variable(&first, env->base_url.list[i], "http://{address}/%s%s", credential->name, path);
	for (size_t i = 0; i < env->token.count; i++)
		print_variable(&first, env->token.list[i], "{token}%s%s", prefix ? ", which begins with " : "",
		               prefix ? prefix : "");
	for (size_t i = 0; i < env->set_names.count; i++)
		print_variable(&first, env->set_names.list[i], "%s", env->set_values.list[i]);
	for (size_t i = 0; i < env->git.count; i++)
		print_variable(&first, "git's insteadOf", "%s", env->git.list[i]);
}

static void print_preset(const struct config_credential *credential)
{
	print_title(credential);
	print_upstream(&credential->upstream);
	for (size_t i = 0; i < credential->injection_count; i++)
		print_injection(&credential->injections[i], i ? "" : "inject");
	print_rules(credential);
	print_env(credential);
	putchar('\n');
}

int check_presets(void)
{
	struct config_messages errors = {0};
	struct config *config = config_presets(&errors);
	config_messages_tell(&errors, log_error);
	config_messages_free(&errors);
	if (!config)
		return EXIT_FAILURE;
	for (size_t i = 0; i < config->credential_count; i++)
		print_preset(&config->credentials[i]);
	puts("{address} is where agents reach the proxy, {token} the entry's session token. An entry's own keys stand over "
	     "these,\nand those of its env one by one: preset: NAME with upstream: and secret: is often all it takes.");
	config_free(config);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
