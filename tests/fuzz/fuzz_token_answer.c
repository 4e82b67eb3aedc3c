/* Answers of token endpoints: what is taken can be sent and kept, and no fault has a secret in it, or what was sent. The first
 * byte says what was asked, the second the status, the third how far the server's clock is off. */
#include <stdint.h>
#include <stdlib.h>

#include "json.h"
#include "token_answer.h"

#define NOW 1700000000
#define Q "QQQQQQQQ" /* a piece of each secret */

static struct named_source refresh_source = {
	.id = (char *)"refresh", .source = {.kind = SOURCE_VAULT, .name = (char *)"entry"}};
static const struct config_credential credential = {.secrets = &refresh_source, .secret_count = 1};
static const struct token_secrets secrets = {SPAN(Q "id"), SPAN(Q "key"), SPAN(Q "refresh"), SPAN(Q "secret")};
static const unsigned statuses[] = {200, 201, 400, 401, 403, 404, 302, 429, 500, 204};

static bool is_visible(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] < 0x21 || text.data[i] > 0x7e)
			return false;
	return text.length <= TOKEN_MOST;
}

/* Words of ours, and a code at most. */
static void check_fault(const struct fault *fault)
{
	struct span text = span_of(fault->text);
	if (fault->code == FAULT_NONE || text.length == 0 || memmem(text.data, text.length, Q, 8))
		abort();
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] < ' ' || text.data[i] > '~')
			abort();
}

static void check_answer(const struct token_answer *answer, enum token_grant grant)
{
	if (answer->token.length == 0 || !is_visible(answer->token) || !is_visible(answer->refresh) || answer->life == 0 ||
	    answer->life > TOKEN_MOST_LIFE)
		abort();
	if (answer->refresh.length && (grant != GRANT_REFRESH || span_equal(answer->refresh, secrets.refresh)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3)
		return 0;
	enum token_grant grant = (enum token_grant)(data[0] % 4);
	const struct token_request request = {.form = grant == GRANT_APP ? TOKEN_GITHUB : TOKEN_OAUTH2,
	                                      .grant = grant,
	                                      .authorization = "Basic " Q "basic",
	                                      .body = SPAN("assertion=body")};
	const struct token_asked asked = {&credential, &secrets, &request};
	const struct token_reply reply = {statuses[data[1] % (sizeof statuses / sizeof *statuses)],
	                                  {(const char *)data + 3, size - 3}, NOW, data[2] ? NOW + 60 * (time_t)data[2] : 0};
	struct arena arena = {0};
	struct token_answer answer;
	struct fault fault = FAULT_INIT;
	if (token_answer_read(&asked, &reply, &arena, &answer, &fault))
		check_answer(&answer, grant);
	else
		check_fault(&fault);
	arena_free(&arena);
	return 0;
}
