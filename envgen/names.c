/* envgen names: what the configuration calls things, for shells that complete and for scripts. No key and no vault is read. */
#include "buffer.h"
#include "commands.h"
#include "subject.h"
#include "text.h"

typedef void name_lister(const struct config *config, struct buffer *out);

static void list_profiles(const struct config *config, struct buffer *out)
{
	for (size_t i = 0; i < config->profile_count; i++)
		buffer_format(out, "%s\n", config->profiles[i].name);
}

static void list_credentials(const struct config *config, struct buffer *out)
{
	for (size_t i = 0; i < config->credential_count; i++)
		buffer_format(out, "%s\n", config->credentials[i].name);
}

/* Each once, though several credentials may use one. */
static void add_secret(const struct source *source, struct buffer *out)
{
	struct span rest = buffer_view(out), name = span_of(source->kind == SOURCE_VAULT ? source->name : "");
	while (rest.length > 0)
		if (span_equal(span_split(&rest, '\n'), name))
			return;
	if (name.length > 0)
		buffer_format(out, "%s\n", source->name);
}

static void list_secrets(const struct config *config, struct buffer *out)
{
	for (size_t i = 0; i < config->credential_count; i++) {
		const struct config_credential *credential = &config->credentials[i];
		for (size_t j = 0; j < credential->secret_count; j++)
			add_secret(&credential->secrets[j].source, out);
		add_secret(&credential->client_key, out);
	}
	add_secret(&config->parent.auth, out);
}

static const struct kind {
	const char *name;
	name_lister *list;
} kinds[] = {
	{"profiles", list_profiles},
	{"credentials", list_credentials},
	{"secrets", list_secrets},
};

static const struct kind *find_kind(const char *name, struct fault *fault)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	fault_set(fault, FAULT_USAGE, "names %s: it lists profiles, credentials or secrets", name);
	return NULL;
}

bool command_names(struct call *call, struct fault *fault)
{
	AUTO_SUBJECT struct subject subject = {0};
	AUTO_BUFFER struct buffer out = {0};
	const struct kind *kind = find_kind(call->words[0], fault);
	if (!kind || !subject_load(call->options, 0, &subject, fault))
		return false;
	kind->list(subject.config, &out);
	return text_print(buffer_view(&out), fault);
}
