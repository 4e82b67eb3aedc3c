#include "known.h"

#include "arena.h"
#include "buffer.h"
#include "memory.h"
#include "table.h"

struct known {
	struct arena arena; /* the names, in lower case */
	struct table names;
};

/* Of proxies and CAs: what HTTP clients read, and what overrides that. */
static const char *const settings[] = {
	"http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy", "rsync_proxy", "ws_proxy", "wss_proxy",
	"socks_proxy", "grpc_proxy", "no_grpc_proxy", "cgi_http_proxy", "node_use_env_proxy", "npm_config_proxy",
	"npm_config_http_proxy", "npm_config_https_proxy", "npm_config_noproxy", "npm_config_no_proxy", "yarn_proxy",
	"yarn_http_proxy", "yarn_https_proxy", "cargo_http_proxy", "pip_proxy", "java_tool_options", "_java_options",
	"jdk_java_options", "git_proxy_command", "git_http_proxy_authmethod", "electron_get_use_proxy",
	"ssl_cert_file", "ssl_cert_dir", "nix_ssl_cert_file", "curl_ca_bundle", "git_ssl_cainfo", "git_ssl_capath",
	"git_ssl_no_verify", "requests_ca_bundle", "npm_config_cafile", "npm_config_ca", "npm_config_strict_ssl",
	"perl_lwp_ssl_ca_file", "perl_lwp_ssl_ca_path", "perl_lwp_ssl_verify_hostname", "https_ca_file", "https_ca_dir",
	"aws_ca_bundle", "cargo_http_cainfo", "httplib2_ca_certs", "cloudsdk_core_custom_ca_certs_file",
	"grpc_default_ssl_roots_file_path", "pip_cert", "node_extra_ca_certs",
	"node_tls_reject_unauthorized", "node_use_system_ca", "pythonhttpsverify", "bundle_ssl_ca_cert",
	"yarn_https_ca_file_path", "websocket_client_ca_bundle", "npm_config_userconfig", "deno_cert", "deno_tls_ca_store", "system_certificate_path",
	"credentials_directory",
};

/* npm takes tokens from npm_config_//HOST/:_authToken and npm_config__auth; git whole configurations from GIT_CONFIG_*. */
static const char *const families[] = {"keystile_", "git_config_", "git_proxy_ssl_", "global_agent_", "npm_config_//",
                                       "npm_config__", "cloudsdk_proxy_"};

/* Other names under which clients of the services that presets and signers know look for their keys, or for who gives them. */
static const char *const keys[] = {"anthropic_auth_token", "claude_code_oauth_token", "google_api_key",
                                   "hugging_face_hub_token", "gitlab_access_token", "github_token", "gh_token",
                                   "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_security_token",
                                   "aws_profile", "aws_shared_credentials_file", "aws_web_identity_token_file",
                                   "aws_container_credentials_full_uri", "aws_container_credentials_relative_uri",
                                   "aws_container_authorization_token", "aws_container_authorization_token_file",
                                   "aws_bearer_token_bedrock"};

static struct span lower(struct arena *arena, struct span name)
{
	char *copy = arena_copy(arena, name.data, name.length);
	for (size_t i = 0; i < name.length; i++)
		copy[i] = copy[i] == '-' ? '_' : span_lower(copy[i]); /* npm reads npm_config_https-proxy, too */
	return (struct span){copy, name.length};
}

static void add(struct known *known, const char *name)
{
	table_put(&known->names, lower(&known->arena, span_of(name)), known);
}

static void add_list(struct known *known, const struct string_list *names)
{
	for (size_t i = 0; i < names->count; i++)
		add(known, names->list[i]);
}

static void add_source(struct known *known, const struct source *source)
{
	if (source->kind == SOURCE_ENV)
		add(known, source->name);
}

static void add_config(struct known *known, const struct config *config)
{
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		add_list(known, &credential->env.base_url);
		add_list(known, &credential->env.token);
		add_list(known, &credential->env.set_names);
		for (size_t j = 0; j < credential->secret_count; j++)
			add_source(known, &credential->secrets[j].source);
		add_source(known, &credential->client_key);
	}
	add_source(known, &config->parent.auth);
}

static void add_presets(struct known *known)
{
	struct config *config = config_presets(NULL);
	if (config)
		add_config(known, config);
	config_free(config);
}

struct known *known_new(const struct config *config)
{
	struct known *known = memory_alloc(sizeof *known);
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
		add(known, settings[i]);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		add(known, keys[i]);
	add_presets(known);
	add_config(known, config);
	return known;
}

bool known_has(const struct known *known, struct span name)
{
	for (size_t i = 0; i < sizeof families / sizeof *families; i++)
		if (span_equal_nocase(span_head(name, strlen(families[i])), span_of(families[i])))
			return true;
	struct arena arena = {0};
	bool found = table_get(&known->names, lower(&arena, name)) != NULL;
	arena_free(&arena);
	return found;
}

void known_free(struct known *known)
{
	if (!known)
		return;
	table_free(&known->names);
	arena_free(&known->arena);
	free(known);
}
