#include "verify_clients.h"

#define SHELL {"sh", "probe.sh"}
#define PYTHON {"python3", "probe.py"}
#define NODE {"node", "probe.cjs"}
#define PERL {"perl", "probe.pl"}
#define JAVA {"java", "-XX:-UsePerfData", "Probe.java"}

/* Where clients are known to go past the proxy. */
static const char old_node[] = "Node reads NODE_USE_ENV_PROXY from 22.21 and 24.5 on; an older one needs base URLs, or a "
			       "proxy agent in the program";

/* Where clients are known to drop the proxy's password. */
static const char own_wget2[] = "write http-proxy-user and http-proxy-password into ~/.wget2rc, which it takes "
				"for http alone";
static const char own_java[] = "the program has to set an Authenticator that answers with the properties http.proxyUser and "
			       "http.proxyPassword";

const struct verify_client verify_client_list[] = {
	{"curl", "curl", SHELL, "curl", NULL, NULL},
	{"wget", "wget", SHELL, "wget", NULL, NULL},
	{"wget2", "wget2", SHELL, "wget2", NULL, own_wget2},
	{"aria2", "aria2c", SHELL, "aria2", NULL, NULL},
	{"git", "git", SHELL, "git", NULL, NULL},
	{"apt", "apt-get", SHELL, "apt", NULL, NULL},
	{"go", "go", SHELL, "go", NULL, NULL},
	{"pip", "pip", SHELL, "pip", NULL, NULL},
	{"npm", "npm", SHELL, "npm", NULL, NULL},
	{"python urllib", "python3", PYTHON, "urllib", NULL, NULL},
	{"python requests", "python3", PYTHON, "requests", NULL, NULL},
	{"python httpx", "python3", PYTHON, "httpx", NULL, NULL},
	{"python aiohttp", "python3", PYTHON, "aiohttp", NULL, NULL},
	{"python botocore", "python3", PYTHON, "botocore", NULL, NULL},
	{"node fetch", "node", NODE, "fetch", old_node, NULL},
	{"node http", "node", NODE, "http", old_node, NULL},
	{"node undici", "node", NODE, "undici", NULL, NULL},
	{"node axios", "node", NODE, "axios", NULL, NULL},
	{"node proxy-agent", "node", NODE, "proxy-agent", NULL, NULL},
	{"node got", "node", NODE, "got", NULL, NULL},
	{"node global-agent", "node", NODE, "global-agent", NULL, NULL},
	{"deno", "deno", {"deno", "run", "-A", "-q", "probe.mjs"}, "deno", NULL, NULL},
	{"bun", "bun", {"bun", "run", "probe.mjs"}, "bun", NULL, NULL},
	{"ruby", "ruby", {"ruby", "probe.rb"}, "net/http", NULL, NULL},
	{"perl LWP", "perl", PERL, "LWP::UserAgent", NULL, NULL},
	{"perl HTTP::Tiny", "perl", PERL, "HTTP::Tiny", NULL, NULL},
	{"php curl", "php", {"php", "probe.php"}, "curl", NULL, NULL},
	{"java URL", "java", JAVA, "URL", NULL, own_java},
	{"java HttpClient", "java", JAVA, "HttpClient", NULL, own_java},
	{"java URL Authenticator", "java", JAVA, "URL Authenticator", NULL, NULL},
	{"java HttpClient Authenticator", "java", JAVA, "HttpClient Authenticator", NULL, NULL},
};

const size_t verify_client_count = sizeof verify_client_list / sizeof *verify_client_list;
