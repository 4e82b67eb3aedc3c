#include "scrub.h"

#include "scrub_gunzip.h"

#define LEAST_READ 1024 /* bytes of new body that are worth a search */
/* Compressed bytes that wait for the next ones to decide, and those that are read at once: they bound what one exchange
 * holds, and how long the worker inflates (to 1032 times as much at most, some 20 ms). */
#define HELD_GZIP (8 * 1024)
#define READ_GZIP (8 * 1024)

/* Of a list of codings, behind those that led to `mode`. Empty items are none (RFC 9110 §5.6.1). */
static enum scrub_mode mode_behind(enum scrub_mode mode, struct span codings)
{
	while (codings.data) {
		struct span coding = span_trim(span_split(&codings, ','));
		if (coding.length == 0 || span_equal_nocase(coding, SPAN("identity")))
			continue;
		bool gzip = span_equal_nocase(coding, SPAN("gzip")) || span_equal_nocase(coding, SPAN("x-gzip"));
		mode = gzip && mode == SCRUB_PLAIN ? SCRUB_GZIP : SCRUB_UNREAD;
	}
	return mode;
}

static enum scrub_mode mode_of(const struct response *response)
{
	enum scrub_mode mode = SCRUB_PLAIN;
	if (response->status == 206 || response->status == 101)
		return SCRUB_UNREAD;
	for (size_t i = 0; i < response->fields.count; i++)
		if (span_equal_nocase(response->fields.list[i].name, SPAN("content-encoding")))
			mode = mode_behind(mode, response->fields.list[i].value);
	return mode;
}

void scrub_start(struct scrub *scrub, const struct response *response)
{
	bool follows = response->body.kind != BODY_NONE || response->status == 101;
	scrub->mode = scrub->needles && follows ? mode_of(response) : SCRUB_OFF;
	if (scrub->mode == SCRUB_GZIP && !(scrub->gunzip = gunzip_new(scrub->needles)))
		scrub->broken = "unreadable_gzip";
}

/* How many of the bytes may go on, of which those from `known` on are new; below 0: none ever. */
static ssize_t decide(struct scrub *scrub, char *bytes, size_t known, size_t length, bool end)
{
	if (scrub->mode == SCRUB_PLAIN)
		return (ssize_t)needle_mask(scrub->needles, bytes, length, end, &scrub->finds);
	enum gunzip_result result = gunzip_take(scrub->gunzip, (struct span){bytes + known, length - known});
	if (end && length == 0)
		return 0;
	switch (result) {
	case GUNZIP_CLEAN:
		return (ssize_t)length;
	case GUNZIP_UNDECIDED:
		if (end)
			return (ssize_t)length;
		if (known <= HELD_GZIP)
			return 0;
		scrub->broken = "gzip_undecided";
		break;
	case GUNZIP_IN_HEAD:
		if (!end && known <= HELD_GZIP)
			return 0;
		scrub->broken = "unreadable_gzip";
		break;
	case GUNZIP_FIND:
		scrub->finds++;
		scrub->broken = "secret_in_gzip";
		break;
	case GUNZIP_UNREADABLE:
		scrub->broken = "unreadable_gzip";
		break;
	}
	return -1;
}

static size_t take_side(struct scrub *scrub, void *bytes, size_t size)
{
	struct span rest = span_head(span_from(buffer_view(&scrub->side), scrub->side_read), size);
	memcpy(bytes, rest.data, rest.length);
	scrub->side_read += rest.length;
	if (scrub->side_read == scrub->side.length) {
		buffer_clear(&scrub->side);
		scrub->side_read = 0;
	}
	return rest.length;
}

/* One read of the source into `into`, which begins with what is held, and has room for that and more. Returns the count
 * of bytes that may go on from its start, or what the source said. */
static ssize_t read_once(struct scrub *scrub, const struct scrub_source *source, char *into, size_t room)
{
	size_t known = scrub->held.length;
	if (scrub->mode == SCRUB_GZIP && room - known > READ_GZIP)
		room = known + READ_GZIP;
	ssize_t count = source->read(source->context, into + known, room - known);
	if (count < 0)
		return count;
	size_t length = known + (size_t)count;
	scrub->over = count == 0;
	if (known)
		memcpy(into, scrub->held.data, known);
	ssize_t decided = decide(scrub, into, known, length, scrub->over || source->is_over(source->context));
	if (decided < 0) {
		explicit_bzero(into, length);
		return SCRUB_BROKEN;
	}
	buffer_clear(&scrub->held);
	if ((size_t)decided < length) {
		/* All that it can ever need: so it never moves, and leaves nothing behind. */
		buffer_room(&scrub->held, scrub->mode == SCRUB_PLAIN ? 2 * scrub->needles->reach : 0);
		buffer_append(&scrub->held, into + decided, length - (size_t)decided);
		explicit_bzero(into + decided, length - (size_t)decided);
	}
	return decided;
}

ssize_t scrub_read(struct scrub *scrub, const struct scrub_source *source, void *bytes, size_t size)
{
	if (scrub->mode == SCRUB_OFF || scrub->mode == SCRUB_UNREAD)
		return source->read(source->context, bytes, size);
	ssize_t count = 0;
	while (count == 0) {
		if (scrub->broken)
			return SCRUB_BROKEN;
		if (scrub->side.length > 0)
			return (ssize_t)take_side(scrub, bytes, size);
		if (scrub->over)
			return 0;
		size_t room = scrub->held.length + LEAST_READ;
		if (size >= room) {
			count = read_once(scrub, source, bytes, size);
			continue;
		}
		char *side = buffer_room(&scrub->side, room);
		count = read_once(scrub, source, side, room);
		if (count > 0) {
			scrub->side.length = (size_t)count;
			count = 0;
		}
	}
	return count;
}

size_t scrub_ready(const struct scrub *scrub)
{
	return scrub->side.length - scrub->side_read + scrub->held.length;
}

void scrub_head(struct scrub *scrub, struct response *response, struct arena *arena)
{
	if (scrub->needles)
		response->reason = needle_replace(scrub->needles, response->reason, arena, &scrub->finds);
	scrub_fields(scrub, &response->fields, arena);
}

void scrub_fields(struct scrub *scrub, struct fields *fields, struct arena *arena)
{
	size_t kept = 0;
	for (size_t i = 0; scrub->needles && i < fields->count; i++) {
		struct field field = fields->list[i];
		size_t start, end;
		if (needle_find(scrub->needles, field.name, 0, &start, &end)) {
			scrub->finds++;
			continue;
		}
		/* A length stays a number, whatever the secret is. */
		if (!span_equal_nocase(field.name, SPAN("content-length")))
			field.value = needle_replace(scrub->needles, field.value, arena, &scrub->finds);
		fields->list[kept++] = field;
	}
	if (scrub->needles)
		fields->count = kept;
}

void scrub_end(struct scrub *scrub)
{
	gunzip_free(scrub->gunzip);
	scrub->gunzip = NULL;
	buffer_wipe(&scrub->held);
	buffer_wipe(&scrub->side);
}
