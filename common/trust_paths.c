#include "trust_paths.h"

#include "file.h"
#include "memory.h"
#include "state.h"

static char *said_or_in_state(const struct config *config, const char *said, const char *name)
{
	AUTO_FREE char *state = state_folder(config->state);
	if (said)
		return memory_string(said);
	return state ? file_resolve(state, name) : NULL;
}

char *trust_ca_path(const struct config *config)
{
	return said_or_in_state(config, config->tls.ca_out, "ca.pem");
}

char *trust_bundle_path(const struct config *config)
{
	return said_or_in_state(config, config->tls.bundle_out, "bundle.pem");
}
