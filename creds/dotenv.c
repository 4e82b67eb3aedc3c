#include "dotenv.h"

/* What Go's unicode.IsSpace takes for a blank; the line feed first, since some places leave it out. */
static const struct span blanks[] = {
	{"\n", 1},           {" ", 1},            {"\t", 1},           {"\r", 1},           {"\v", 1},
	{"\f", 1},           {"\xc2\x85", 2},     {"\xc2\xa0", 2},     {"\xe1\x9a\x80", 3}, {"\xe2\x80\x80", 3},
	{"\xe2\x80\x81", 3}, {"\xe2\x80\x82", 3}, {"\xe2\x80\x83", 3}, {"\xe2\x80\x84", 3}, {"\xe2\x80\x85", 3},
	{"\xe2\x80\x86", 3}, {"\xe2\x80\x87", 3}, {"\xe2\x80\x88", 3}, {"\xe2\x80\x89", 3}, {"\xe2\x80\x8a", 3},
	{"\xe2\x80\xa8", 3}, {"\xe2\x80\xa9", 3}, {"\xe2\x80\xaf", 3}, {"\xe2\x81\x9f", 3}, {"\xe3\x80\x80", 3},
};
#define BLANKS (sizeof blanks / sizeof *blanks)
#define BLANKS_OF_A_LINE 8 /* blanks[1] to blanks[7]: compose knows no others inside a line */

/* The length of the blank that `text` starts with, of blanks[first] to blanks[end - 1]; 0 where there is none. */
static size_t blank_length(struct span text, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		if (span_starts(text, blanks[i]))
			return blanks[i].length;
	return 0;
}

static struct span skip_blanks(struct span text)
{
	size_t length;
	while ((length = blank_length(text, 1, BLANKS_OF_A_LINE)))
		text = span_from(text, length);
	return text;
}

static struct span trim_end(struct span text)
{
	for (size_t i = 0; i < BLANKS; i++) {
		if (!span_ends(text, blanks[i]))
			continue;
		text.length -= blanks[i].length;
		i = (size_t)-1; /* and once more, from the first kind */
	}
	return text;
}

static void take(struct dotenv *reader, size_t count)
{
	for (size_t i = 0; i < count; i++)
		reader->line += reader->rest.data[i] == '\n';
	reader->rest = span_from(reader->rest, count);
}

/* Up to the line's end, which stays. */
static struct span take_line(struct dotenv *reader)
{
	struct span copy = reader->rest, line = span_split(&copy, '\n');
	take(reader, line.length);
	return line;
}

static void skip_to_statement(struct dotenv *reader)
{
	for (;;) {
		size_t length = blank_length(reader->rest, 0, BLANKS);
		if (length)
			take(reader, length);
		else if (span_starts(reader->rest, SPAN("#")))
			take_line(reader);
		else
			return;
	}
}

static bool is_name_character(char c)
{
	return (c >= '0' && c <= '9') || (span_lower(c) >= 'a' && span_lower(c) <= 'z') || strchr("_.-[]", c);
}

/* Takes NAME and the `=` or `:` behind it. */
static bool take_name(struct dotenv *reader, struct span *name, struct fault *fault)
{
	struct span after_export = span_from(reader->rest, 6);
	if (span_starts(reader->rest, SPAN("export")) && blank_length(after_export, 1, BLANKS_OF_A_LINE))
		take(reader, (size_t)(skip_blanks(after_export).data - reader->rest.data));
	size_t length = 0;
	while (length < reader->rest.length && reader->rest.data[length] != 0 &&
	       is_name_character(reader->rest.data[length]))
		length++;
	struct span behind = skip_blanks(span_from(reader->rest, length));
	*name = span_head(reader->rest, length);
	if (behind.length == 0 || behind.data[0] == '\n')
		return fault_set(fault, FAULT_USAGE, "there is no `=` on this line, so no value");
	if (behind.data[0] != '=' && behind.data[0] != ':')
		return fault_set(fault, FAULT_USAGE, "a name has letters, digits and _ . - only, and `=` behind it");
	if (length == 0)
		return fault_set(fault, FAULT_USAGE, "there is no name before `%c`", behind.data[0]);
	take(reader, (size_t)(skip_blanks(span_from(behind, 1)).data - reader->rest.data));
	return true;
}

/* `$$` becomes `$`; what compose would look up is refused. */
static bool expand(struct span text, struct buffer *out, struct fault *fault)
{
	for (size_t i = 0; i < text.length; i++) {
		char next = i + 1 < text.length ? text.data[i + 1] : ' ';
		bool dollar = text.data[i] == '$';
		if (dollar && (next == '{' || next == '_' || (span_lower(next) >= 'a' && span_lower(next) <= 'z')))
			return fault_set(fault, FAULT_USAGE, "docker compose would replace a variable here ($NAME); write `$$` for "
			                 "a `$` that belongs to the secret, or put the value in single quotes");
		if (dollar && next == '$')
			i++;
		buffer_char(out, text.data[i]);
	}
	return true;
}

/* `\0` and up to three digits. Compose makes a character of three octal ones below 0400, and drops the 0 of others. */
static size_t unescape_octal(struct span text, struct buffer *out)
{
	size_t count = 0;
	unsigned number = 0;
	bool octal = true;
	for (; count < 3 && count + 2 < text.length; count++) {
		char c = text.data[count + 2];
		if (c < '0' || c > '9')
			break;
		octal = octal && c < '8';
		number = number * 8 + (unsigned)(c - '0');
	}
	if (count < 3 || !octal || number > 255) {
		buffer_char(out, '\\');
		buffer_append(out, text.data + 2, count);
	} else if (number < 0x80) {
		buffer_char(out, (char)number);
	} else {
		buffer_char(out, (char)(0xc0 | number >> 6));
		buffer_char(out, (char)(0x80 | (number & 0x3f)));
	}
	return count + 2;
}

static size_t unescape(struct span text, struct buffer *out)
{
	static const char letters[] = "abfnrtv\"\\", meanings[] = "\a\b\f\n\r\t\v\"\\";
	char next = text.length > 1 ? text.data[1] : 0;
	const char *letter = next ? strchr(letters, next) : NULL;
	if (next == '0')
		return unescape_octal(text, out);
	if (letter)
		buffer_char(out, meanings[letter - letters]);
	else if (next == '$')
		buffer_string(out, "$$"); /* one `$` after expand() */
	else
		buffer_char(out, '\\');
	return letter || next == '$' ? 2 : 1;
}

/* The inside of quotes, up to the closing one; a backslash in front of such a quote goes. False where it never closes. */
static bool take_quoted(struct dotenv *reader, char quote, struct buffer *out)
{
	const char *text = reader->rest.data;
	for (size_t i = 1; i < reader->rest.length; i++) {
		bool pair = text[i] == '\\' && i + 1 < reader->rest.length;
		if (text[i] == quote) {
			take(reader, i + 1);
			return true;
		}
		if (!pair || text[i + 1] != quote)
			buffer_char(out, text[i]);
		if (pair)
			buffer_char(out, text[++i]);
	}
	return false;
}

static bool take_value(struct dotenv *reader, struct fault *fault)
{
	char quote = reader->rest.length ? reader->rest.data[0] : 0;
	if (quote != '"' && quote != '\'') {
		struct span line = take_line(reader);
		const char *comment = memmem(line.data, line.length, " #", 2);
		return expand(trim_end(comment ? span_head(line, (size_t)(comment - line.data)) : line), &reader->value, fault);
	}
	struct buffer *inside = quote == '"' ? &reader->unescaped : &reader->value;
	if (!take_quoted(reader, quote, inside)) {
		take_line(reader);
		return fault_set(fault, FAULT_USAGE, "the quote %c that opens here is never closed", quote);
	}
	if (quote == '\'')
		return true;
	AUTO_WIPE struct buffer plain = {0};
	struct span rest = buffer_view(inside);
	while (rest.length > 0) {
		size_t used = 1;
		if (rest.data[0] == '\\')
			used = unescape(rest, &plain);
		else
			buffer_char(&plain, rest.data[0]);
		rest = span_from(rest, used);
	}
	return expand(buffer_view(&plain), &reader->value, fault);
}

enum dotenv_result dotenv_next(struct dotenv *reader, struct dotenv_entry *entry, struct fault *fault)
{
	dotenv_end(reader);
	skip_to_statement(reader);
	*entry = (struct dotenv_entry){.name = {"", 0}, .value = {"", 0}, .line = reader->line};
	if (reader->rest.length == 0)
		return DOTENV_END;
	if (!take_name(reader, &entry->name, fault)) {
		take_line(reader);
		return DOTENV_WRONG;
	}
	if (!take_value(reader, fault))
		return DOTENV_WRONG;
	entry->value = buffer_view(&reader->value);
	return DOTENV_ENTRY;
}

void dotenv_end(struct dotenv *reader)
{
	buffer_wipe(&reader->value);
	buffer_wipe(&reader->unescaped);
}
