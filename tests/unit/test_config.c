/* The configuration as a whole: what stands at its top, what is so where nothing stands, and what is told of mistakes. */
#include "config_rows.h"

/* SPEC §2's own example. */
static const char example[] =
	"version: 1\n"
	"listen: 127.0.0.1:8180\n"
	"advertise: 127.0.0.1:8180\n"
	"admin:  127.0.0.1:8181\n"
	"workers: auto\n"
	"vault: { file: secrets.vault, key: \"file:vault.key\" }\n"
	"session: { key: \"file:session.key\" }\n"
	"\n"
	"credentials:\n"
	"  anthropic: { preset: anthropic, secret: vault:anthropic }\n"
	"  openai:\n"
	"    upstream: https://api.openai.com\n"
	"    secret: vault:openai\n"
	"    inject: { header: Authorization, value: \"Bearer {secret}\" }\n"
	"    rules: [\"deny * /v1/fine_tuning/**\", \"allow GET,POST /v1/**\"]\n"
	"    env: { base_url: OPENAI_BASE_URL, path: /v1, token: OPENAI_API_KEY, token_prefix: sk- }\n"
	"  github:\n"
	"    upstream: https://api.github.com\n"
	"    secret: file:/vault/secrets/github\n"
	"    inject: { basic: x-access-token }\n"
	"\n"
	"profiles:\n"
	"  base:\n"
	"    hosts: [pypi.org, \"*.pythonhosted.org\", \"nats.internal:4222\"]\n"
	"    credentials: [github]\n"
	"  coder:\n"
	"    extends: base\n"
	"    hosts: [registry.npmjs.org, { host: \"*.example.com\", intercept: true, rules: [\"allow GET /docs/**\"] }]\n"
	"    credentials: [openai, anthropic]\n"
	"  reader:\n"
	"    extends: base\n"
	"    credentials: []\n";

static void check_openai(const struct config_credential *openai)
{
	assert_string_equal(openai->name, "openai");
	assert_int_equal(openai->number, 1);
	assert_null(openai->preset);
	assert_int_equal(openai->mark.line, 11);
	assert_int_equal(openai->mark.column, 3);
	assert_true(openai->upstream.tls && !openai->upstream.wildcard && openai->upstream.port == 443);
	assert_string_equal(openai->upstream.host.name, "api.openai.com");
	assert_string_equal(openai->upstream.path, "");
	assert_int_equal(openai->secret_count, 1);
	assert_string_equal(openai->secrets[0].id, "secret");
	assert_int_equal(openai->secrets[0].source.kind, SOURCE_VAULT);
	assert_string_equal(openai->secrets[0].source.name, "openai");
	assert_int_equal(openai->injection_count, 1);
	assert_int_equal(openai->injections[0].kind, INJECT_HEADER);
	assert_string_equal(openai->injections[0].name, "Authorization");
	assert_string_equal(openai->injections[0].value, "Bearer {secret}");
	assert_int_equal(openai->rules.count, 2);
	assert_string_equal(openai->rules.list[1].text, "allow GET,POST /v1/**");
	assert_string_equal(openai->env.base_url.list[0], "OPENAI_BASE_URL");
	assert_string_equal(openai->env.path, "/v1");
	assert_string_equal(openai->env.token_prefix, "sk-");
	assert_true(openai->scrub && !openai->intercept && !openai->encoded_slash && openai->rotation == ROTATION_OVERLAP);
}

static void check_profiles(const struct config *config)
{
	const struct config_profile *base = config_profile(config, SPAN("base"));
	const struct config_profile *coder = config_profile(config, SPAN("coder"));
	const struct config_profile *reader = config_profile(config, SPAN("reader"));
	assert_int_equal(base->host_count, 3);
	assert_int_equal(base->credential_count, 1);
	assert_int_equal(coder->host_count, 5);
	assert_string_equal(coder->hosts[0].text, "pypi.org");
	assert_string_equal(coder->hosts[3].text, "registry.npmjs.org");
	assert_true(coder->hosts[4].intercept && coder->hosts[4].rules.count == 1);
	assert_int_equal(coder->credential_count, 3);
	assert_string_equal(coder->credentials[0]->name, "github");
	assert_string_equal(coder->credentials[1]->name, "openai");
	assert_string_equal(coder->credentials[2]->name, "anthropic");
	assert_int_equal(reader->host_count, 3);
	assert_int_equal(reader->credential_count, 0);
	assert_true(reader->direct && reader->token_version == 1);
	assert_null(config_profile(config, SPAN("bas")));
	assert_null(config_credential(config, SPAN("")));
}

static void test_example(void **state)
{
	(void)state;
	struct judged judged = judge(example, true);
	compare("the example", "errors", judged.errors.data, "");
	compare("the example", "warnings", judged.warnings.data, "");
	settle();
	const struct config *config = judged.config;
	assert_int_equal(config->listener_count, 1);
	assert_string_equal(config->listeners[0].address.host.name, "127.0.0.1");
	assert_int_equal(config->listeners[0].address.port, 8180);
	assert_true(config->admin.on && config->admin.listener.address.port == 8181);
	assert_true(config->advertise_said && config->advertise.port == 8180);
	assert_int_equal(config->workers, 0);
	assert_string_equal(config->vault_file, FOLDER "/secrets.vault");
	assert_string_equal(config->vault_key.name, FOLDER "/vault.key");
	assert_string_equal(config->session.key.name, FOLDER "/session.key");
	assert_int_equal(config->credential_count, 3);
	check_openai(config_credential(config, SPAN("openai")));
	check_profiles(config);
	judged_free(&judged);
}

static void test_defaults(void **state)
{
	(void)state;
	struct config *config = good("version: 1\nprofiles: { a: {} }\n");
	assert_int_equal(config->listener_count, 1);
	assert_int_equal(config->listeners[0].kind, LISTENER_TCP);
	assert_int_equal(config->listeners[0].address.port, 8180);
	assert_string_equal(config->advertise.host.name, "127.0.0.1");
	assert_int_equal(config->advertise.port, 8180);
	assert_false(config->advertise_said || config->admin.on || config->session.none || config->parent.on);
	assert_int_equal(config->session.key.kind, SOURCE_FILE);
	assert_string_equal(config->session.key.name, FOLDER "/session.key");
	assert_true(!config->vault_file && !config->audit.file && !config->state && !config->tls.ca_cert);
	static const struct config_limits usual = {
		.head = 24 << 10, .fields = 100, .head_time = 10000, .connections = 4096, .profile_connections = 1024,
		.idle = 60000, .body_idle = 300000, .response_idle = 600000, .connect = 10000, .handshake = 10000,
		.tunnel_idle = 3600000, .streams = 100, .body = 0, .signed_body = 4 << 20,
	};
	assert_memory_equal(&config->limits, &usual, sizeof usual);
	config_free(config);
	config_free(NULL);
}

static void test_top(void **state)
{
	(void)state;
	struct config *config = good(
		"version: 1\n"
		"listen: [\"[::1]:1\", unix:run/p.sock, 127.0.0.1:2]\n"
		"admin: { listen: unix:/run/a.sock, hosts: [Keystile.Pod., B\xc3\xbc" "cher.example] }\n"
		"workers: 3\n"
		"vault: { file: ../v, key: \"passphrase:file:p\" }\n"
		"session: { key: systemd:session }\n"
		"limits: { head: 8KiB, body: 10MB, idle: 2m, streams: 7 }\n"
		"audit: { file: audit.log, required: true }\n"
		"state: /var/s\n"
		"tls: { ca_cert: c, ca_key: /k, advertise_ca: in/box }\n"
		"parent: { proxy: \"http://proxy.corp:3128\", auth: env:P, except: [\"*.corp\", 10.0.0.0/8] }\n"
		"profiles: { a: {} }\n");
	assert_int_equal(config->listener_count, 3);
	assert_string_equal(config->listeners[1].path, FOLDER "/run/p.sock");
	assert_int_equal(config->listeners[1].kind, LISTENER_UNIX);
	assert_int_equal(config->listeners[1].mark.line, 2);
	assert_int_equal(config->listeners[1].mark.column, 21);
	assert_string_equal(config->listeners[1].mark.file, FOLDER "/k.yaml");
	assert_string_equal(config->advertise.host.name, "::1");
	assert_string_equal(config->admin.listener.path, "/run/a.sock");
	assert_string_equal(config->admin.hosts.list[0], "keystile.pod");
	assert_string_equal(config->admin.hosts.list[1], "xn--bcher-kva.example");
	assert_int_equal(config->workers, 3);
	assert_int_equal(config->vault_key.kind, SOURCE_PASSPHRASE_FILE);
	assert_int_equal(config->session.key.kind, SOURCE_SYSTEMD);
	assert_true(config->limits.head == 8192 && config->limits.body == 10000000 && config->limits.idle == 120000);
	assert_true(config->limits.streams == 7 && config->limits.fields == 100);
	assert_true(!strcmp(config->audit.file, FOLDER "/audit.log") && config->audit.required);
	assert_string_equal(config->state, "/var/s");
	assert_string_equal(config->tls.ca_cert, FOLDER "/c");
	assert_string_equal(config->tls.advertise_ca, "in/box");
	assert_true(config->parent.on && config->parent.proxy.port == 3128 && config->parent.except_count == 2);
	assert_false(config->parent.socks);
	config_free(config);
	config = good("version: 1\nlisten: unix:p\naudit: { file: stdout }\nlimits: { body: none }\nprofiles: { a: {} }\n");
	assert_int_equal(config->advertise.host.length, 0);
	assert_string_equal(config->audit.file, "-");
	assert_int_equal(config->limits.body, 0);
	config_free(config);
}

#define A "profiles: { a: {} }\n"
#define AUTH_IN_URL \
	"2:18: expected http://HOST:PORT; user and password have a source of their own: auth: vault:NAME"

static const struct told_row top_rows[] = {
	{"{}", "1:1: \"version\" is missing here; write version: 1"},
	{"profiles: {}\n", "1:1: \"version\" is missing here; write version: 1"},
	{"version: 2\n" A, "1:10: expected 1, the only version of this file's format, without quotes"},
	{"version: \"1\"\n" A, "1:10: expected 1, the only version of this file's format, without quotes"},
	{"- version: 1\n", "1:1: expected the configuration (a mapping), found a list"},
	{"version 1\n", "1:1: expected the configuration (a mapping), found text"},
	{"version: 1\nlisen: x\n" A,
	 "2:1: unknown key \"lisen\"; did you mean \"listen\"? (known here: version, listen, advertise, admin, workers, vault, "
	 "session, credentials, profiles, limits, tls, parent, audit, state)"},
	{"version: 1\nqwertyuiop: 1\n" A,
	 "2:1: unknown key \"qwertyuiop\" (known here: version, listen, advertise, admin, workers, vault, session, "
	 "credentials, profiles, limits, tls, parent, audit, state)"},
	{"version: 1\nversion: 1\n" A, "2:1: duplicate key \"version\"; it stands at line 1 already"},
	{"version: 1\n\"\\e[0m\": 1\n" A,
	 "2:1: unknown key \"\\x1b[0m\" (known here: version, listen, advertise, admin, workers, vault, session, "
	 "credentials, profiles, limits, tls, parent, audit, state)"},
	/* Every mistake in one run, by place. */
	{"version: 3\nworkers: 0\nstate:\nlimits: { idle: 5 }\nprofiles: { a: { extends: b } }\n",
	 "1:10: expected 1, the only version of this file's format, without quotes\n"
	 "2:10: expected auto or a number of threads from 1 to 256\n"
	 "3:7: expected the path of a folder (text), found nothing\n"
	 "4:17: `5` is not a time; write a number and ms, s, m, h or d, like 30s\n"
	 "5:27: no profile has the name \"b\""},
	/* Columns count characters. */
	{"{version: 1, profiles: {a: {}}, state: \"\xc3\xbc\xe2\x82\xac\", workers: x}",
	 "1:55: expected auto or a number of threads from 1 to 256"},
	{"version: 1\nworkers: 257\n" A, "2:10: expected auto or a number of threads from 1 to 256"},
	{"version: 1\nworkers: \"4\"\n" A, "2:10: expected auto or a number of threads from 1 to 256"},
	{"version: 1\nvault: secrets.vault\n" A,
	 "2:8: expected vault: { file: secrets.vault, key: \"file:vault.key\" } (a mapping), found text"},
	{"version: 1\nvault: {}\n" A, "2:8: \"file\" is missing here; write file: secrets.vault\n"
	                              "2:8: \"key\" is missing here; write key: \"file:vault.key\""},
	{"version: 1\nvault: { file: a, key: b }\n" A,
	 "2:24: this names no source; a key is named by file:PATH, systemd:NAME, passphrase or passphrase:file:PATH"},
	{"version: 1\nvault: { file: ~/v, key: env:B }\n" A,
	 "2:16: \"~\" means nothing in a path here; write the folder out\n"
	 "2:26: `env:` is for secrets, not for keys; a key is named by file:PATH, systemd:NAME, passphrase or "
	 "passphrase:file:PATH"},
	{"version: 1\nsession: no\n" A, "2:10: expected session: { key: \"file:session.key\" }, or none (a mapping), found text"},
	{"version: 1\nsession: {}\n" A, "2:10: \"key\" is missing here; write key: \"file:session.key\""},
	{"version: 1\nsession: { key: passphrase }\n" A,
	 "2:17: a session key is 32 random bytes, not a passphrase; write \"file:session.key\""},
	{"version: 1\naudit: stdout\n" A, "2:8: expected audit: { file: PATH } (a mapping), found text"},
	{"version: 1\naudit: { required: yes }\n" A, "2:8: \"file\" is missing here; write file: PATH, or file: stdout\n"
	                                             "2:20: expected true or false; did you mean true, without quotes?"},
	{"version: 1\naudit: { file: [] }\n" A, "2:16: expected a path, or stdout (text), found a list"},
	{"version: 1\ntls: { ca_cert: a }\n" A, "2:6: \"ca_key\" is missing here; write ca_key: PATH beside ca_cert"},
	{"version: 1\nparent: { auth: env:A }\n" A, "2:9: \"proxy\" is missing here; write proxy: http://HOST:PORT"},
	{"version: 1\nparent: { proxy: \"https://a:1/x\" }\n" A, "2:18: expected http://HOST:PORT, without a path"},
	{"version: 1\nparent: { proxy: \"https://a:1\" }\n" A,
	 "2:18: TLS to the parent proxy itself is not spoken; expected http://HOST:PORT"},
	{"version: 1\nparent: { proxy: \"socks5://a:1\" }\n" A,
	 "2:18: expected http://HOST:PORT, or socks5h://HOST:PORT, which leaves names to the proxy"},
	{"version: 1\nparent: { proxy: a:1 }\n" A,
	 "2:18: expected http://HOST:PORT, or socks5h://HOST:PORT, which leaves names to the proxy"},
	{"version: 1\nparent: { proxy: \"socks5h://a:1/\", except: [a.b] }\n" A, ""},
	{"version: 1\nparent: { proxy: \"socks5h://a\" }\n" A, "2:18: a port is missing; write socks5h://HOST:PORT"},
	{"version: 1\nparent: { proxy: \"socks5h://a:1/x\" }\n" A, "2:18: expected socks5h://HOST:PORT: host `a:1/x` has no port from 1 to 65535 behind its `:`"},
	{"version: 1\nparent: { proxy: [] }\n" A, "2:18: expected http://HOST:PORT (text), found a list"},
	{"version: 1\nparent: { proxy: \"http://127.0.0.1:8180\" }\n" A,
	 "2:9: the parent proxy 127.0.0.1:8180 is the listener of line 1, so proxyd would ask itself"},
	{"version: 1\nlisten: [unix:a, \"[::]:3128\"]\nadvertise: a:1\nparent: { proxy: \"http://localhost:3128\" }\n" A,
	 "4:9: the parent proxy localhost:3128 is the listener of line 2, so proxyd would ask itself"},
	{"version: 1\nlisten: 127.0.0.1:3128\nparent: { proxy: \"http://127.0.0.2:3128\" }\n" A, ""},
	{"version: 1\nparent: { proxy: \"http://u:p@a:1\" }\n" A, AUTH_IN_URL},
	{"version: 1\nparent: { proxy: \"socks5h://u:p@a:1\" }\n" A, AUTH_IN_URL},
	{"version: 1\nparent: { proxy: \"http://*.a:1\" }\n" A, "2:18: a URL with a wildcard, where one server is needed"},
	{"version: 1\nparent: { proxy: \"http://a:1\", auth: vault:x, except: [\"!b\", {}] }\n" A,
	 "2:38: there is no vault in this file; add vault: { file: secrets.vault, key: \"file:vault.key\" }\n"
	 "2:56: \"!\" means nothing here: what is listed does not go through the parent\n"
	 "2:62: expected a pattern such as \"*.corp\" (text), found a mapping; text that starts with \"{\" goes in quotes"},
};

static const struct told_row limit_rows[] = {
	{"version: 1\nlimits: 5\n" A,
	 "2:9: expected limits such as { connections: 100, idle: 60s } (a mapping), found text"},
	{"version: 1\nlimits: { head: 1, fields: many, streams: 0, body: 0 }\n" A,
	 "2:17: expected 1KiB to 64KiB\n2:28: `many` is not a whole number from 10 to 1000\n"
	 "2:43: `0` is not a whole number from 1 to 1000\n2:52: expected 1B to 1048576GiB"},
	{"version: 1\nlimits: { idle: 2d, connect: 1ms, tunnel_idle: 31d }\n" A,
	 "2:17: expected 100ms to 1d\n2:30: expected 100ms to 1d\n2:48: expected 100ms to 30d"},
	{"version: 1\nlimits: { head: none, idle: none }\n" A,
	 "2:17: `none` is not a size; write a number and B, KiB, MiB, GiB, KB, MB or GB, like 24KiB\n"
	 "2:29: `none` is not a time; write a number and ms, s, m, h or d, like 30s"},
	{"version: 1\nlimits: { conections: 1 }\n" A,
	 "2:11: unknown key \"conections\"; did you mean \"connections\"? (known here: head, fields, head_time, connections, "
	 "profile_connections, idle, body_idle, response_idle, connect, handshake, tunnel_idle, streams, body, signed_body)"},
};

#define SHAPE "ADDRESS:PORT such as 127.0.0.1:8180, [ADDRESS]:PORT, or unix:PATH"

static const struct told_row listen_rows[] = {
	{"version: 1\nlisten: []\n" A, "2:9: expected " SHAPE ", found an empty list"},
	{"version: 1\nlisten:\n" A, "2:8: expected " SHAPE " (text), found nothing"},
	{"version: 1\nlisten: 8180\n" A, "2:9: expected " SHAPE ", found a number alone; if it is the port, write 127.0.0.1:8180"},
	{"version: 1\nlisten: 2130706433\n" A, "2:9: expected " SHAPE ": host `2130706433` is a single number, which some read as an "
	                                       "address; write it like 192.0.2.1"},
	{"version: 1\nlisten: 127.0.0.1\n" A, "2:9: a port is missing; write " SHAPE},
	{"version: 1\nlisten: 127.0.0.1:0\n" A,
	 "2:9: expected " SHAPE ": host `127.0.0.1:0` has no port from 1 to 65535 behind its `:`"},
	{"version: 1\nlisten: localhost:80\n" A, "2:9: expected an address, found the name \"localhost\"; write 127.0.0.1"},
	{"version: 1\nlisten: [http://127.0.0.1:80]\n" A, "2:10: expected " SHAPE ", without a scheme or path"},
	{"version: 1\nlisten: \"unix:\"\n" A, "2:9: expected unix:PATH, such as unix:/run/keystile/proxy.sock"},
	{"version: 1\nlisten: unix:~/p\n" A, "2:9: expected unix:PATH, such as unix:/run/keystile/proxy.sock"},
	{"version: 1\nlisten: [127.0.0.1:1, \"[::1]:1\", 127.0.0.1:1]\nadmin: 127.0.0.1:1\n" A,
	 "2:34: the listener of line 2 already listens there\n3:8: the listener of line 2 already listens there"},
	{"version: 1\nlisten: [unix:a, unix:/etc/k/a]\n" A, "2:18: the listener of line 2 already listens there"},
	{"version: 1\nlisten: 0.0.0.0:80\nadmin: 127.0.0.1:80\n" A,
	 "1:1: \"advertise\" is missing here: 0.0.0.0 is every address of this machine, so write the one that agents use, such "
	 "as advertise: keystile:80\n"
	 "3:8: the listener of line 2 already listens there"},
	{"version: 1\nlisten: \"[::]:80\"\n" A,
	 "1:1: \"advertise\" is missing here: :: is every address of this machine, so write the one that agents use, such as "
	 "advertise: keystile:80"},
	{"version: 1\nlisten: [unix:a, 127.0.0.1:1, 0.0.0.0:80]\n" A, ""},
	{"version: 1\nlisten: 0.0.0.0:80\nadvertise: keystile:80\n" A, ""},
	{"version: 1\nadvertise: http://keystile:80/\n" A, "2:12: expected HOST:PORT, without a scheme or path"},
	{"version: 1\nadvertise: keystile\n" A, "2:12: a port is missing; write HOST:PORT"},
	{"version: 1\nadvertise: 0.0.0.0:80\n" A,
	 "2:12: nobody can connect to 0.0.0.0; write the name or address that agents use"},
	{"version: 1\nadmin: {}\n" A, "2:8: \"listen\" is missing here; write listen: 127.0.0.1:8181"},
	{"version: 1\nadmin: { listn: 127.0.0.1:1, hosts: pod }\n" A,
	 "2:8: \"listen\" is missing here; write listen: 127.0.0.1:8181\n"
	 "2:10: unknown key \"listn\"; did you mean \"listen\"? (known here: listen, hosts)\n"
	 "2:37: expected host names such as [keystile.pod] (a list), found text; a list stands in [ ], or each item in a line "
	 "of its own after \"- \""},
	{"version: 1\nlisten: { transparent: 0.0.0.0:1, profile: b }\n" A,
	 "2:9: no profile has the name \"b\""},
	{"version: 1\nlisten: { transparent: x:1 }\n" A,
	 "2:9: \"profile\" is missing here; write profile: NAME\n2:24: expected an address, found the name \"x\""},
	{"version: 1\nsession: none\nlisten: [127.9.9.9:1, \"[::1]:1\", unix:a]\n" A, ""},
	{"version: 1\nsession: none\nlisten: [0.0.0.0:1, \"[::2]:2\"]\nadvertise: x:1\nprofiles: { a: {}, b: {} }\n",
	 "2:10: `session: none` goes with exactly one profile, there are 2: without tokens nothing tells clients apart\n"
	 "3:10: with `session: none` every client is let in, so a listener is a unix socket or on loopback, such as "
	 "127.0.0.1:1\n"
	 "3:21: with `session: none` every client is let in, so a listener is a unix socket or on loopback, such as "
	 "127.0.0.1:2"},
	{"version: 1\nsession: none\n",
	 "2:10: `session: none` goes with exactly one profile, there are 0: without tokens nothing tells clients apart"},
};

static void test_errors(void **state)
{
	(void)state;
	expect_errors(ROWS(top_rows));
	expect_errors(ROWS(limit_rows));
	expect_errors(ROWS(listen_rows));
}

static void test_long_listeners(void **state)
{
	(void)state;
	AUTO_BUFFER struct buffer text = {0};
	buffer_string(&text, "version: 1\nlisten: unix:");
	memset(buffer_room(&text, 101), 'p', 101);
	text.length += 100;
	buffer_string(&text, "\n" A);
	expect_errors(&(struct told_row){text.data, ""}, 1);
	buffer_clear(&text);
	buffer_string(&text, "version: 1\nlisten: unix:/");
	memset(buffer_room(&text, 108), 'p', 108);
	text.length += 107;
	buffer_string(&text, "\n" A);
	expect_errors(&(struct told_row){text.data, "2:9: the path of a unix socket has at most 107 bytes, this one 108"}, 1);
	buffer_clear(&text);
	buffer_string(&text, "version: 1\nlisten: [");
	for (unsigned i = 0; i < 257; i++)
		buffer_format(&text, "127.0.0.1:%u,", 1000 + i);
	buffer_string(&text, "]\n" A);
	expect_errors(&(struct told_row){text.data, "2:9: expected at most 256 listeners, found 257"}, 1);
}

static const struct told_row warning_rows[] = {
	{"version: 1\n", "1:1: there are no \"profiles\", so nobody reaches anything"},
	{"version: 1\n" A, ""},
};

static void test_warnings(void **state)
{
	(void)state;
	expect_warnings(ROWS(warning_rows));
}

static void test_load(void **state)
{
	(void)state;
	struct config_messages errors = {0}, warnings = {0};
	assert_null(config_load("/nowhere/keystile.yaml", false, &errors, &warnings));
	assert_int_equal(errors.count, 1);
	assert_non_null(strstr(errors.list[0], "/nowhere/keystile.yaml"));
	config_messages_free(&errors);
	config_messages_free(&warnings);
	assert_int_equal(errors.count, 0);
	assert_null(config_load("/", false, &errors, NULL));
	assert_int_equal(errors.count, 1);
	config_messages_free(&errors);
	assert_null(config_parse(SPAN("x"), "k.yaml", false, NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),        cmocka_unit_test(test_defaults), cmocka_unit_test(test_top),
		cmocka_unit_test(test_errors),         cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_long_listeners), cmocka_unit_test(test_load),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
