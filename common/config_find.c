/* Where the configuration is. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "buffer.h"
#include "config.h"
#include "memory.h"

static const char *const here = "./keystile.yaml";
static const char *const system_wide = "/etc/keystile/keystile.yaml";

/* $XDG_CONFIG_HOME/keystile/keystile.yaml; NULL where neither it nor HOME says where. */
static char *user_path(void)
{
	const char *base = getenv("XDG_CONFIG_HOME");
	const char *home = getenv("HOME");
	if (base && base[0] == '/')
		return memory_format("%s/keystile/keystile.yaml", base);
	return home && *home ? memory_format("%s/.config/keystile/keystile.yaml", home) : NULL;
}

/* A file that is there but may not be looked at counts: reading it then says so. */
static bool is_there(const char *path)
{
	return path && (access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR));
}

char *config_find(const char *given, bool *found_here, struct fault *fault)
{
	*found_here = false;
	if (given)
		return memory_string(given);
	const char *named = getenv("KEYSTILE_CONFIG");
	if (named && *named)
		return memory_string(named);
	AUTO_FREE char *user = user_path();
	const char *places[] = {here, user, system_wide};
	for (size_t i = 0; i < 3; i++) {
		if (!is_there(places[i]))
			continue;
		*found_here = i == 0;
		return memory_string(places[i]);
	}
	fault_set(fault, FAULT_MISSING,
	          "no configuration: there is no %s, no %s and no %s; name one with --config FILE or KEYSTILE_CONFIG", here,
	          user ? user : "keystile.yaml in the user's configuration folder", system_wide);
	return NULL;
}
