#include "verify_clients.h"

#define SHELL {"sh", "probe.sh"}
#define PYTHON {"python3", "probe.py"}
#define NODE {"node", "probe.cjs"}
#define PERL {"perl", "probe.pl"}
#define JAVA {"java", "Probe.java"}

/* Where clients are known to go past the proxy. */
static const char old_node[] = "Node reads NODE_USE_ENV_PROXY from 22.21 and 24.5 on; an older one needs base URLs, or a "
			       "proxy agent in the program";

const struct verify_client verify_client_list[] = {
	{"curl", "curl", SHELL, "curl", NULL},
	{"wget", "wget", SHELL, "wget", NULL},
	{"wget2", "wget2", SHELL, "wget2", NULL},
	{"aria2", "aria2c", SHELL, "aria2", NULL},
	{"git", "git", SHELL, "git", NULL},
	{"apt", "apt-get", SHELL, "apt", NULL},
	{"go", "go", SHELL, "go", NULL},
	{"pip", "pip", SHELL, "pip", NULL},
	{"npm", "npm", SHELL, "npm", NULL},
	{"python urllib", "python3", PYTHON, "urllib", NULL},
	{"python requests", "python3", PYTHON, "requests", NULL},
	{"python httpx", "python3", PYTHON, "httpx", NULL},
	{"python aiohttp", "python3", PYTHON, "aiohttp", NULL},
	{"python botocore", "python3", PYTHON, "botocore", NULL},
	{"node fetch", "node", NODE, "fetch", old_node},
	{"node http", "node", NODE, "http", old_node},
	{"node undici", "node", NODE, "undici", NULL},
	{"node axios", "node", NODE, "axios", NULL},
	{"node proxy-agent", "node", NODE, "proxy-agent", NULL},
	{"node got", "node", NODE, "got", NULL},
	{"node global-agent", "node", NODE, "global-agent", NULL},
	{"deno", "deno", {"deno", "run", "-A", "-q", "probe.mjs"}, "deno", NULL},
	{"bun", "bun", {"bun", "run", "probe.mjs"}, "bun", NULL},
	{"ruby", "ruby", {"ruby", "probe.rb"}, "net/http", NULL},
	{"perl LWP", "perl", PERL, "LWP::UserAgent", NULL},
	{"perl HTTP::Tiny", "perl", PERL, "HTTP::Tiny", NULL},
	{"php curl", "php", {"php", "probe.php"}, "curl", NULL},
	{"java URL", "java", JAVA, "URL", NULL},
	{"java HttpClient", "java", JAVA, "HttpClient", NULL},
};

const size_t verify_client_count = sizeof verify_client_list / sizeof *verify_client_list;
