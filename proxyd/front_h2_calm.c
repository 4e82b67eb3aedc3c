/* Clients that make work and ask for nothing: frames that carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA
 * and CONTINUATION), and streams that are reset, by them (CVE-2023-44487) or by us for what they send (CVE-2025-8671). What
 * is of use earns some of both, so that a busy client that cancels, or acknowledges much, is none of these. */
#include "front_h2_internal.h"

#define ACT 1000 /* thousandths */

#define FRAMES_MOST (2000 * ACT)
#define FRAMES_PER_USE (4 * ACT) /* a head or a piece of a body makes a client acknowledge and ping */
#define FRAMES_EACH_MS 200       /* 200 a second */

#define RESETS_MOST (100 * ACT) /* beside twice limits.streams: all streams may be given up at once */
#define RESETS_EACH_MS 20

static void pass_time(struct h2_budget *budget, uint64_t now, uint64_t each_ms)
{
	uint64_t back = (now - budget->at) * each_ms;
	budget->spent -= back < budget->spent ? back : budget->spent;
	budget->at = now;
}

static bool spend(struct h2_budget *budget, uint64_t now, uint64_t each_ms, uint64_t most)
{
	pass_time(budget, now, each_ms);
	budget->spent += ACT;
	return budget->spent <= most;
}

static void earn(struct h2_budget *budget, uint64_t amount)
{
	budget->spent -= amount < budget->spent ? amount : budget->spent;
}

void front_h2_count_frame(struct h2_client *client)
{
	if (!spend(&client->frames, loop_now(client->front->worker->loop), FRAMES_EACH_MS, FRAMES_MOST))
		front_h2_accuse(client, NGHTTP2_ENHANCE_YOUR_CALM, "too many frames that carry nothing");
}

void front_h2_count_reset(struct h2_client *client)
{
	uint64_t most = RESETS_MOST + 2 * ACT * front_h2_limits(client)->streams;
	if (!spend(&client->resets, loop_now(client->front->worker->loop), RESETS_EACH_MS, most))
		front_h2_accuse(client, NGHTTP2_ENHANCE_YOUR_CALM, "too many streams that are reset");
}

void front_h2_count_use(struct h2_client *client)
{
	earn(&client->frames, FRAMES_PER_USE);
}

void front_h2_count_delivery(struct h2_client *client)
{
	earn(&client->resets, ACT);
}
