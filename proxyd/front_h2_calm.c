/* Clients that make work and ask for nothing: frames that carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA
 * and CONTINUATION), and streams that are reset, by them (CVE-2023-44487) or by us for what they send (CVE-2025-8671). What
 * is of use earns some of both, so that a busy client that cancels, or acknowledges much, is none of these. */
#include "front_h2_internal.h"

#define RESETS_MOST (100 * BUDGET_ACT) /* beside twice limits.streams: all streams may be given up at once */
#define RESETS_EACH_MS 20

static uint64_t now(const struct h2_client *client)
{
	return loop_now(client->front->worker->loop);
}

void front_h2_count_frame(struct h2_client *client)
{
	if (!budget_spend(&client->frames, now(client), BUDGET_FRAMES_EACH_MS, BUDGET_FRAMES_MOST))
		front_h2_accuse(client, NGHTTP2_ENHANCE_YOUR_CALM, "too many frames that carry nothing");
}

void front_h2_count_reset(struct h2_client *client)
{
	uint64_t most = RESETS_MOST + 2 * BUDGET_ACT * front_h2_limits(client)->streams;
	if (!budget_spend(&client->resets, now(client), RESETS_EACH_MS, most))
		front_h2_accuse(client, NGHTTP2_ENHANCE_YOUR_CALM, "too many streams that are reset");
}

void front_h2_count_use(struct h2_client *client)
{
	budget_earn(&client->frames, BUDGET_FRAMES_PER_USE);
}

void front_h2_count_delivery(struct h2_client *client)
{
	budget_earn(&client->resets, BUDGET_ACT);
}
