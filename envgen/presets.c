#include "presets.h"

#include "buffer.h"
#include "preset.h"

struct config *presets_config(void)
{
	AUTO_BUFFER struct buffer text = {0};
	struct config_messages errors = {0}, warnings = {0};
	buffer_string(&text, "version: 1\nlisten: 127.0.0.1:1\nsession: none\ncredentials:\n");
	for (size_t i = 0; i < preset_count; i++)
		buffer_format(&text, "  %s: { preset: %s, secret: env:KEYSTILE_SECRET }\n", preset_list[i].name, preset_list[i].name);
	buffer_string(&text, "profiles:\n  all: { credentials: [] }\n");
	struct config *config = config_parse(buffer_view(&text), "presets", false, &errors, &warnings);
	config_messages_free(&errors);
	config_messages_free(&warnings);
	return config;
}
