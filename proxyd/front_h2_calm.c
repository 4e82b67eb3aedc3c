/* Clients that make work and ask for nothing: frames that carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA
 * and CONTINUATION), bytes that do not (padding, frames of unknown types, bodies of streams that are over), and streams that
 * are reset, by them (CVE-2023-44487) or by us for what they send (CVE-2025-8671). What is of use earns some of it back, so
 * that a busy client that cancels, or acknowledges much, is none of these. */
#include "front_h2_internal.h"

#define BYTE 4 /* of a budget of frames: 250 bytes cost as much as one */
#define LATE_MOST ((size_t)GIVEN_UP * H2_WINDOW)

#define RESETS_MOST (100 * BUDGET_ACT) /* beside twice limits.streams: all streams may be given up at once */
#define RESETS_EACH_MS 20

static uint64_t now(const struct h2_client *client)
{
	return loop_now(client->front->worker->loop);
}

static void count_frames(struct h2_client *client, uint64_t amount, const char *text)
{
	struct budget *frames = &client->frames;
	if (budget_spend(frames, amount, now(client), BUDGET_FRAMES_EACH_MS, BUDGET_FRAMES_MOST))
		return;
	uint64_t over = frames->spent - BUDGET_FRAMES_MOST;
	if (over > client->late * BYTE) {
		front_h2_accuse(client, NGHTTP2_ENHANCE_YOUR_CALM, text);
		return;
	}
	client->late -= over / BYTE;
	budget_earn(frames, over);
}

void front_h2_count_bytes(struct h2_client *client, size_t size)
{
	count_frames(client, size * BYTE, "too many bytes that carry nothing");
}

void front_h2_count_frame(struct h2_client *client)
{
	count_frames(client, BUDGET_ACT, "too many frames that carry nothing");
}

void front_h2_count_late(struct h2_client *client)
{
	client->late += H2_WINDOW;
	if (client->late > LATE_MOST)
		client->late = LATE_MOST;
}

void front_h2_count_reset(struct h2_client *client)
{
	uint64_t most = RESETS_MOST + 2 * BUDGET_ACT * front_h2_limits(client)->streams;
	if (!budget_spend(&client->resets, BUDGET_ACT, now(client), RESETS_EACH_MS, most))
		front_h2_accuse(client, NGHTTP2_ENHANCE_YOUR_CALM, "too many streams that are reset");
}

void front_h2_count_use(struct h2_client *client, size_t size)
{
	budget_earn(&client->frames, BUDGET_FRAMES_PER_USE + size * BYTE);
}

void front_h2_count_delivery(struct h2_client *client)
{
	budget_earn(&client->resets, BUDGET_ACT);
}
