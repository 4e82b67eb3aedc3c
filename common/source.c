#include "source.h"

#include "file.h"
#include "memory.h"

#define SECRET_SHAPE "a secret is named by vault:NAME, file:PATH, env:NAME, systemd:NAME or exec:COMMAND"
#define KEY_SHAPE "a key is named by file:PATH, systemd:NAME, passphrase or passphrase:file:PATH"

static bool is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (span_lower(c) >= 'a' && span_lower(c) <= 'z');
}

bool source_is_secret_name(struct span name)
{
	if (name.length < 1 || name.length > 128 || !is_alphanumeric(name.data[0]))
		return false;
	for (size_t i = 1; i < name.length; i++)
		if (!is_alphanumeric(name.data[i]) && name.data[i] != '.' && name.data[i] != '_' && name.data[i] != '-')
			return false;
	return true;
}

static const char *check_secret_name(struct span name)
{
	return source_is_secret_name(name) ? NULL
	                                   : "a name in the vault has letters, digits, `.`, `_` and `-`, 128 at most, "
	                                     "and begins with a letter or digit";
}

static const char *check_path(struct span path)
{
	if (path.length == 0)
		return "`file:` has no path behind it";
	return span_starts(path, SPAN("~")) ? "`~` means nothing in a path here; write the folder out" : NULL;
}

static const char *check_variable(struct span name)
{
	bool good = name.length > 0 && (name.data[0] < '0' || name.data[0] > '9');
	for (size_t i = 0; good && i < name.length; i++)
		good = is_alphanumeric(name.data[i]) || name.data[i] == '_';
	return good ? NULL : "a variable's name has letters, digits and `_`, without `$`, and begins with no digit";
}

static const char *check_credential(struct span name)
{
	bool good = name.length > 0 && name.length <= 255 && !memchr(name.data, '/', name.length) &&
	            !span_equal(name, SPAN(".")) && !span_equal(name, SPAN(".."));
	return good ? NULL : "a systemd credential is a file name in $CREDENTIALS_DIRECTORY, without `/`";
}

static const char *check_command(struct span command)
{
	AUTO_FREE char *text = memory_span(command);
	AUTO_FREE char **words = source_words(text);
	return words ? NULL : "`exec:` has no command behind it, or a quote or backslash in it is not closed";
}

/* The forms of a source: what it begins with, who may use it, and what must follow. */
struct form {
	struct span prefix;
	enum source_kind kind;
	bool for_secret, for_key;
	bool is_path;
	const char *(*check)(struct span name); /* NULL where it is all right, else what is wrong */
};

static const struct form forms[] = {
	{{"vault:", 6}, SOURCE_VAULT, true, false, false, check_secret_name},
	{{"file:", 5}, SOURCE_FILE, true, true, true, check_path},
	{{"env:", 4}, SOURCE_ENV, true, false, false, check_variable},
	{{"systemd:", 8}, SOURCE_SYSTEMD, true, true, false, check_credential},
	{{"exec:", 5}, SOURCE_EXEC, true, false, false, check_command},
	{{"passphrase:file:", 16}, SOURCE_PASSPHRASE_FILE, false, true, true, check_path},
};

static const struct form *find_form(struct span text)
{
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
		if (span_starts(text, forms[i].prefix))
			return &forms[i];
	return NULL;
}

static bool has_control(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
			return true;
	return false;
}

static void fill(struct source *source, const struct form *form, struct span text, const char *folder)
{
	AUTO_FREE char *name = memory_span(span_from(text, form->prefix.length));
	source->kind = form->kind;
	source->name = form->is_path ? file_resolve(folder, name) : memory_string(name);
	source->text = memory_span(text);
}

/* What stands in a source's place may be the secret itself, pasted there by mistake: no message shows it. */
static bool parse(struct span text, const char *folder, const struct form *form, const char *shape,
                  struct source *source, struct fault *fault)
{
	if (has_control(text))
		return fault_set(fault, FAULT_USAGE, "there is a control character in it; %s", shape);
	if (!form)
		return fault_set(fault, FAULT_USAGE, "this names no source; %s", shape);
	const char *why = form->check(span_from(text, form->prefix.length));
	if (why)
		return fault_set(fault, FAULT_USAGE, "%s", why);
	fill(source, form, text, folder);
	return true;
}

bool source_parse(struct span text, const char *folder, struct source *source, struct fault *fault)
{
	*source = (struct source){.kind = SOURCE_NONE};
	const struct form *form = find_form(text);
	if ((form && !form->for_secret) || span_equal(text, SPAN("passphrase")))
		return fault_set(fault, FAULT_USAGE, "a passphrase opens a vault and is no secret of an API; " SECRET_SHAPE);
	return parse(text, folder, form, SECRET_SHAPE, source, fault);
}

bool source_parse_key(struct span text, const char *folder, struct source *source, struct fault *fault)
{
	*source = (struct source){.kind = SOURCE_NONE};
	if (span_equal(text, SPAN("passphrase"))) {
		*source = (struct source){.kind = SOURCE_PASSPHRASE, .text = memory_span(text)};
		return true;
	}
	const struct form *form = find_form(text);
	if (form && !form->for_key)
		return fault_set(fault, FAULT_USAGE, "`%.*s` is for secrets, not for keys; " KEY_SHAPE, SPAN_ARGS(form->prefix));
	return parse(text, folder, form, KEY_SHAPE, source, fault);
}

struct source source_copy(const struct source *source)
{
	return (struct source){source->kind, memory_string(source->name), memory_string(source->text)};
}

void source_free(struct source *source)
{
	free(source->name);
	free(source->text);
	*source = (struct source){.kind = SOURCE_NONE};
}

/* Copies one word from `*from` to `*to`, quotes and backslashes resolved. False where a quote or backslash is open. */
static bool copy_word(const char **from, char **to)
{
	char quote = 0;
	for (; **from && (quote || !strchr(" \t\n", **from)); (*from)++) {
		char c = **from;
		if (quote ? c == quote : c == '\'' || c == '"') {
			quote = quote ? 0 : c;
			continue;
		}
		if (c == '\\' && quote != '\'') {
			char next = (*from)[1];
			if (!next)
				return false;
			/* Between double quotes a backslash is itself, but before these. */
			if (!quote || strchr("\"\\$`", next)) {
				c = next;
				(*from)++;
			}
		}
		*(*to)++ = c;
	}
	*(*to)++ = 0;
	return !quote;
}

char **source_words(const char *command)
{
	/* One block: at most every second byte begins a word; the text of the words is never longer than the command's. */
	size_t length = strlen(command), most = length / 2 + 2, count = 0;
	char **words = memory_alloc(most * sizeof *words + length + 1);
	char *to = (char *)(words + most);
	for (const char *from = command + strspn(command, " \t\n"); *from; from += strspn(from, " \t\n")) {
		words[count++] = to;
		if (!copy_word(&from, &to)) {
			free(words);
			return NULL;
		}
	}
	if (count == 0 || words[0][0] == 0) {
		free(words);
		return NULL;
	}
	return words;
}
