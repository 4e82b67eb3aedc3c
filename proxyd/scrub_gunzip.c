#include "scrub_gunzip.h"

#include <zlib.h>

#include "memory.h"
#include "secret.h"

#define WINDOW 8192
#define GZIP_ONLY (MAX_WBITS + 16)
#define LABEL 512 /* bytes of a member's name, comment or extra field; a longer one is refused */

struct gunzip {
	const struct needle_set *needles;
	z_stream stream;
	bool ended;    /* a member has, and no other has begun */
	bool labelled; /* the labels of this member are looked at */
	gz_header head;
	Bytef name[LABEL], comment[LABEL], extra[LABEL];
	size_t carry;  /* bytes at the start of `text` that are not decided */
	size_t room;
	char text[];
};

/* What is inflated may be a secret: zlib's memory is zeroed too. */
static voidpf allocate(voidpf context, uInt count, uInt size)
{
	(void)context;
	return memory_array(count, size);
}

static void release(voidpf context, voidpf memory)
{
	(void)context;
	secret_free(memory);
}

static bool begin_head(struct gunzip *gunzip)
{
	gunzip->labelled = false;
	gunzip->head = (gz_header){
		.name = gunzip->name, .name_max = LABEL,
		.comment = gunzip->comment, .comm_max = LABEL,
		.extra = gunzip->extra, .extra_max = LABEL,
	};
	return inflateGetHeader(&gunzip->stream, &gunzip->head) == Z_OK;
}

struct gunzip *gunzip_new(const struct needle_set *needles)
{
	struct gunzip *gunzip = memory_alloc(sizeof *gunzip + needles->reach + WINDOW);
	gunzip->needles = needles;
	gunzip->room = needles->reach + WINDOW;
	gunzip->stream.zalloc = allocate;
	gunzip->stream.zfree = release;
	if (inflateInit2(&gunzip->stream, GZIP_ONLY) != Z_OK) {
		free(gunzip);
		return NULL;
	}
	begin_head(gunzip);
	return gunzip;
}

void gunzip_free(struct gunzip *gunzip)
{
	if (!gunzip)
		return;
	inflateEnd(&gunzip->stream);
	explicit_bzero(gunzip, sizeof *gunzip + gunzip->room);
	free(gunzip);
}

/* Looks at what was inflated behind the carry, and keeps what is not decided. False: a find. */
static bool look(struct gunzip *gunzip)
{
	struct span text = {gunzip->text, gunzip->room - gunzip->stream.avail_out};
	size_t start, end;
	if (needle_find(gunzip->needles, text, 0, &start, &end))
		return false;
	gunzip->carry = needle_undecided(gunzip->needles, text);
	if (gunzip->carry)
		memmove(gunzip->text, text.data + text.length - gunzip->carry, gunzip->carry);
	return true;
}

/* One text of a member's head; zlib makes `label` NULL where there is none. */
static enum gunzip_result look_at_label(const struct gunzip *gunzip, const Bytef *label, size_t length)
{
	size_t start, end;
	if (!label)
		return GUNZIP_CLEAN;
	if (length >= LABEL)
		return GUNZIP_UNREADABLE;
	bool found = needle_find(gunzip->needles, (struct span){(const char *)label, length}, 0, &start, &end);
	return found ? GUNZIP_FIND : GUNZIP_CLEAN;
}

static enum gunzip_result look_at_head(struct gunzip *gunzip)
{
	const gz_header *head = &gunzip->head;
	if (gunzip->labelled)
		return GUNZIP_CLEAN;
	if (head->done != 1)
		return GUNZIP_IN_HEAD;
	gunzip->labelled = true;
	enum gunzip_result result = look_at_label(gunzip, head->extra, head->extra_len);
	if (result == GUNZIP_CLEAN)
		result = look_at_label(gunzip, head->name, head->name ? strnlen((const char *)head->name, LABEL) : 0);
	if (result == GUNZIP_CLEAN)
		result = look_at_label(gunzip, head->comment, head->comment ? strnlen((const char *)head->comment, LABEL) : 0);
	return result;
}

/* Behind a member: zeros, or the next one. */
static bool begin_again(struct gunzip *gunzip)
{
	z_stream *stream = &gunzip->stream;
	while (stream->avail_in > 0 && *stream->next_in == 0) {
		stream->next_in++;
		stream->avail_in--;
	}
	if (stream->avail_in == 0)
		return true;
	gunzip->ended = false;
	return inflateReset2(stream, GZIP_ONLY) == Z_OK && begin_head(gunzip);
}

enum gunzip_result gunzip_take(struct gunzip *gunzip, struct span bytes)
{
	z_stream *stream = &gunzip->stream;
	stream->next_in = (Bytef *)(uintptr_t)bytes.data;
	stream->avail_in = (uInt)bytes.length;
	do {
		if (gunzip->ended && !begin_again(gunzip))
			return GUNZIP_UNREADABLE;
		if (gunzip->ended)
			break;
		stream->next_out = (Bytef *)gunzip->text + gunzip->carry;
		stream->avail_out = (uInt)(gunzip->room - gunzip->carry);
		int result = inflate(stream, Z_SYNC_FLUSH);
		if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
			return GUNZIP_UNREADABLE;
		enum gunzip_result head = look_at_head(gunzip);
		if (head != GUNZIP_CLEAN)
			return head;
		gunzip->ended = result == Z_STREAM_END;
		if (!look(gunzip))
			return GUNZIP_FIND;
	} while (stream->avail_in > 0 || stream->avail_out == 0);
	return gunzip->carry ? GUNZIP_UNDECIDED : GUNZIP_CLEAN;
}
