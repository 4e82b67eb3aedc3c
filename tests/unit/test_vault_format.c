/* The bytes of a vault: what encode writes decode reads, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "buffer.h"
#include "memory.h"
#include "secret.h"
#include "vault_format.h"
#include "vault_seal.h"

static struct vault_header sample_header(uint32_t slots)
{
	struct vault_header header = {.generation = 0x0102030405060708, .payload_length = VAULT_PADDING + VAULT_TAG,
	                              .slot_count = slots};
	memset(header.uuid, 'u', sizeof header.uuid);
	memset(header.nonce, 'n', sizeof header.nonce);
	memset(header.commitment, 'c', sizeof header.commitment);
	for (uint32_t i = 0; i < slots; i++) {
		struct vault_slot *slot = &header.slots[i];
		*slot = (struct vault_slot){.kind = 1 + i % 2, .operations = 3 * (i % 2), .kibibytes = 262144 * (i % 2)};
		memset(slot->id, 'a' + (int)i, sizeof slot->id);
		memset(slot->wrapped, 'A' + (int)i, sizeof slot->wrapped);
	}
	return header;
}

/* A file of this header and of zeros for its payload. */
static struct buffer file_of(const struct vault_header *header)
{
	struct buffer file = {0};
	size_t length = vault_header_length(header) + header->payload_length;
	memset(buffer_room(&file, length), 0, length);
	vault_header_encode(header, (unsigned char *)file.data);
	file.length = length;
	return file;
}

static void test_header_round_trip(void **context)
{
	(void)context;
	for (uint32_t slots = 1; slots <= VAULT_SLOTS; slots++) {
		struct vault_header header = sample_header(slots), decoded;
		AUTO_BUFFER struct buffer file = file_of(&header);
		assert_int_equal(vault_header_length(&header), 120 + slots * 144);
		assert_memory_equal(file.data, "KEYSTILE VAULT\n\0\0\1\0\1", 20);
		assert_memory_equal(file.data + 24, "\1\2\3\4\5\6\7\10", 8);
		if (!vault_header_decode(buffer_view(&file), &decoded))
			fail_msg("%u slots: should decode", slots);
		assert_memory_equal(&header, &decoded, sizeof header);
	}
}

/* Offsets that the format fixes, and a value that must not be there. */
static const struct {
	const char *what;
	size_t at, size;
	uint64_t value;
} broken_headers[] = {
	{"magic", 0, 1, 'k'},
	{"a later version", 16, 2, 2},
	{"another suite", 18, 2, 2},
	{"a shorter header", 20, 4, 120 + 143},
	{"a longer header", 20, 4, 120 + 2 * 144},
	{"no slots", 48, 4, 0},
	{"one slot more", 48, 4, 2},
	{"slots without end", 48, 4, 0xffffffff},
	{"too many slots", 48, 4, VAULT_SLOTS + 1},
	{"a payload without text", 52, 4, VAULT_TAG},
	{"a shorter payload", 52, 4, VAULT_PADDING + VAULT_TAG - 1},
	{"a longer payload", 52, 4, VAULT_PADDING + VAULT_TAG + 1},
	{"a payload without end", 52, 4, 0xffffffff},
	{"reserved bytes", 56, 8, 1},
	{"slot of kind 0", 120 + 8, 4, 0},
	{"slot of kind 3", 120 + 8, 4, 3},
	{"reserved bytes of a slot", 120 + 20, 4, 1},
};

static void test_broken_headers(void **context)
{
	(void)context;
	for (size_t i = 0; i < sizeof broken_headers / sizeof *broken_headers; i++) {
		struct vault_header header = sample_header(1), decoded;
		AUTO_BUFFER struct buffer file = file_of(&header);
		for (size_t j = 0; j < broken_headers[i].size; j++)
			file.data[broken_headers[i].at + j] =
				(char)(broken_headers[i].value >> (8 * (broken_headers[i].size - 1 - j)));
		if (vault_header_decode(buffer_view(&file), &decoded))
			fail_msg("%s: should not decode", broken_headers[i].what);
	}
}

static void test_cut_headers(void **context)
{
	(void)context;
	struct vault_header header = sample_header(2), decoded;
	AUTO_BUFFER struct buffer file = file_of(&header);
	for (size_t i = 0; i < file.length; i++)
		if (vault_header_decode(span_head(buffer_view(&file), i), &decoded))
			fail_msg("the first %zu bytes of %zu: should not decode", i, file.length);
	buffer_char(&file, 0);
	assert_false(vault_header_decode(buffer_view(&file), &decoded));
}

static struct buffer encode(const struct vault_text *text)
{
	struct buffer out = {0};
	size_t length = vault_text_length(text);
	vault_text_encode(text, (unsigned char *)buffer_room(&out, length), length);
	out.length = length;
	return out;
}

static void test_text_round_trip(void **context)
{
	(void)context;
	struct vault_entry entries[] = {
		{SPAN("Z"), SPAN("\0\xff\n"), 1, 2, 3},
		{SPAN("a"), SPAN("x"), 0, 0, 0},
		{SPAN("a.b"), SPAN("sk"), UINT64_MAX, 1, 1},
	};
	struct vault_text text = {.entries = entries, .count = 3, .note_count = 1,
	                          .notes = {{.id = "1234567", .added = 9, .label = SPAN("file:vault.key")}}};
	AUTO_BUFFER struct buffer bytes = encode(&text);
	assert_int_equal(bytes.length, VAULT_PADDING);
	struct vault_text decoded = {0};
	assert_true(vault_text_decode(buffer_view(&bytes), &decoded));
	assert_int_equal(decoded.count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_true(span_equal(decoded.entries[i].name, entries[i].name));
		assert_true(span_equal(decoded.entries[i].value, entries[i].value));
		assert_int_equal(decoded.entries[i].created, entries[i].created);
		assert_int_equal(decoded.entries[i].changed, entries[i].changed);
		assert_int_equal(decoded.entries[i].expires, entries[i].expires);
	}
	assert_int_equal(decoded.note_count, 1);
	assert_true(span_equal(decoded.notes[0].label, SPAN("file:vault.key")));
	bool found;
	assert_int_equal(vault_text_place(&decoded, SPAN("a.b"), &found), 2);
	assert_true(found);
	assert_int_equal(vault_text_place(&decoded, SPAN("a.a"), &found), 2);
	assert_false(found);
	assert_int_equal(vault_text_place(&decoded, SPAN("b"), &found), 3);
	vault_text_free(&decoded);
}

/* What an onlooker learns of a vault's size is no more than a multiple of the padding. */
static void test_padding(void **context)
{
	(void)context;
	static char value[2 * VAULT_PADDING];
	memset(value, 'v', sizeof value);
	for (size_t length = 1; length < sizeof value; length++) {
		struct vault_entry entry = {SPAN("a"), {value, length}, 0, 0, 0};
		struct vault_text text = {.entries = &entry, .count = 1}, decoded = {0};
		AUTO_BUFFER struct buffer bytes = encode(&text);
		if (bytes.length % VAULT_PADDING != 0 || !vault_text_decode(buffer_view(&bytes), &decoded))
			fail_msg("a value of %zu bytes: %zu bytes of text should decode", length, bytes.length);
		assert_int_equal(decoded.entries[0].value.length, length);
		vault_text_free(&decoded);
	}
}

/* Texts by hand, padded with zeros. Each differs from one that is right in one thing. */
#define NUMBERS_8 "\0\0\0\0\0\0\0\0"
#define TIMES NUMBERS_8 NUMBERS_8 NUMBERS_8
#define ENTRY_A "\1a" TIMES "\0\0\0\1x"
#define TEXT(literal) {literal, sizeof(literal) - 1}

static const struct {
	const char *what;
	struct span text;
	bool right;
} texts[] = {
	{"nothing in it", TEXT("\0\0\0\0" "\0\0\0\0" "\x80"), true},
	{"one entry", TEXT("\0\0\0\1" ENTRY_A "\0\0\0\0" "\x80"), true},
	{"no end of padding", TEXT("\0\0\0\0" "\0\0\0\0"), false},
	{"something in the padding", TEXT("\0\0\0\0" "\0\0\0\0" "\x80\0\0\1"), false},
	{"another byte for 0x80", TEXT("\0\0\0\0" "\0\0\0\0" "\x81"), false},
	{"an entry more than said", TEXT("\0\0\0\0" ENTRY_A "\0\0\0\0" "\x80"), false},
	{"an entry less than said", TEXT("\0\0\0\2" ENTRY_A "\0\0\0\0" "\x80"), false},
	{"entries without end", TEXT("\xff\xff\xff\xff" ENTRY_A "\0\0\0\0" "\x80"), false},
	{"one name twice", TEXT("\0\0\0\2" ENTRY_A ENTRY_A "\0\0\0\0" "\x80"), false},
	{"names out of order", TEXT("\0\0\0\2" "\1b" TIMES "\0\0\0\1x" ENTRY_A "\0\0\0\0" "\x80"), false},
	{"no name", TEXT("\0\0\0\1" "\0" TIMES "\0\0\0\1x" "\0\0\0\0" "\x80"), false},
	{"a name that is none", TEXT("\0\0\0\1" "\1/" TIMES "\0\0\0\1x" "\0\0\0\0" "\x80"), false},
	{"no value", TEXT("\0\0\0\1" "\1a" TIMES "\0\0\0\0" "\0\0\0\0" "\x80"), false},
	{"a value behind the end", TEXT("\0\0\0\1" "\1a" TIMES "\0\0\xff\xffx" "\0\0\0\0" "\x80"), false},
	{"a value over the limit", TEXT("\0\0\0\1" "\1a" TIMES "\xff\xff\xff\xffx" "\0\0\0\0" "\x80"), false},
	{"too many notes", TEXT("\0\0\0\0" "\0\0\0\x9" "\x80"), false},
	{"a note", TEXT("\0\0\0\0" "\0\0\0\1" NUMBERS_8 NUMBERS_8 "\1l" "\x80"), true},
};

static void test_texts(void **context)
{
	(void)context;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		char padded[VAULT_PADDING] = {0};
		memcpy(padded, texts[i].text.data, texts[i].text.length);
		struct vault_text text = {0};
		bool decoded = vault_text_decode((struct span){padded, sizeof padded}, &text);
		vault_text_free(&text);
		if (decoded != texts[i].right)
			fail_msg("%s: should %sdecode", texts[i].what, texts[i].right ? "" : "not ");
		/* No shorter run of the same bytes is a text: the ends of others' memory are never looked at. */
		for (size_t length = 0; length < 64; length++) {
			text = (struct vault_text){0};
			if (vault_text_decode((struct span){padded, length}, &text))
				fail_msg("%s, cut to %zu bytes: should not decode", texts[i].what, length);
			vault_text_free(&text);
		}
	}
}

/* Parameters outside of what is ever written are refused before any hashing: a test of time would be no test, but
 * 4 TiB of memory or 4 billion rounds would not come back. */
static void test_argon_bounds(void **context)
{
	(void)context;
	static const uint32_t rows[][2] = {
		{0, 0}, {1, 262144}, {2, 262144}, {3, 262143}, {3, 8}, {9, 262144}, {3, 1048577}, {0xffffffff, 262144},
		{3, 0xffffffff},
	};
	struct vault_header header = sample_header(1);
	struct vault_key key = {.passphrase = true, .bytes = SPAN("correct horse")};
	unsigned char data_key[VAULT_DATA_KEY];
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct vault_slot slot = {.kind = VAULT_SLOT_PASSPHRASE, .operations = rows[i][0], .kibibytes = rows[i][1]};
		if (vault_slot_unwrap(&slot, &header, &key, data_key) != VAULT_CLOSED)
			fail_msg("%u operations, %u KiB: should be refused", rows[i][0], rows[i][1]);
	}
}

int main(void)
{
	struct fault fault = FAULT_INIT;
	if (!secret_start(&fault))
		return 1;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_round_trip), cmocka_unit_test(test_broken_headers),
		cmocka_unit_test(test_cut_headers),       cmocka_unit_test(test_text_round_trip),
		cmocka_unit_test(test_padding),           cmocka_unit_test(test_texts),
		cmocka_unit_test(test_argon_bounds),
	};
	return cmocka_run_group_tests_name("vault_format", tests, NULL, NULL);
}
