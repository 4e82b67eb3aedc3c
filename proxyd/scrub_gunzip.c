#include "scrub_gunzip.h"

#include <zlib.h>

#include "memory.h"
#include "secret.h"

#define WINDOW 8192
#define GZIP_ONLY (MAX_WBITS + 16)

struct gunzip {
	const struct needle_set *needles;
	z_stream stream;
	bool ended;    /* a member has, and no other has begun */
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

struct gunzip *gunzip_new(const struct needle_set *needles)
{
	struct gunzip *gunzip = memory_alloc(sizeof *gunzip + needles->reach + WINDOW);
	gunzip->needles = needles;
	gunzip->room = needles->reach + WINDOW;
	gunzip->stream.zalloc = allocate;
	gunzip->stream.zfree = release;
	if (inflateInit2(&gunzip->stream, GZIP_ONLY) == Z_OK)
		return gunzip;
	free(gunzip);
	return NULL;
}

void gunzip_free(struct gunzip *gunzip)
{
	if (!gunzip)
		return;
	inflateEnd(&gunzip->stream);
	explicit_bzero(gunzip->text, gunzip->room);
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
	return inflateReset2(stream, GZIP_ONLY) == Z_OK;
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
		gunzip->ended = result == Z_STREAM_END;
		if (!look(gunzip))
			return GUNZIP_FIND;
	} while (stream->avail_in > 0 || stream->avail_out == 0);
	return gunzip->carry ? GUNZIP_UNDECIDED : GUNZIP_CLEAN;
}
