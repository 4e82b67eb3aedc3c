#include "text.h"
#include "token_answer_internal.h"

/* An answer while it is read. */
struct reading_answer {
	const struct token_asked *asked;
	const struct token_reply *reply;
	const struct json *json;
	struct arena *arena;
	struct token_answer *answer;
};

/* What may stand in a field, and is not too long. */
static bool is_token(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] < 0x21 || text.data[i] > 0x7e)
			return false;
	return text.length > 0 && text.length <= TOKEN_MOST;
}

/* A member that is a token; `*token` stays empty where there is none. */
static bool take_token(const struct reading_answer *reading, const char *name, struct span *token, struct fault *fault)
{
	struct span text = {0};
	enum member found = json_member_text(reading->json, name, &text);
	if (found == MEMBER_ABSENT)
		return true;
	if (found == MEMBER_OTHER || !is_token(text))
		return fault_set(fault, FAULT_BROKEN,
		                 "its \"%s\" is empty, not text, too long, or has characters that no field can carry", name);
	*token = arena_span(reading->arena, text);
	return true;
}

static bool need_token(const struct reading_answer *reading, const char *name, struct fault *fault)
{
	struct span *token = &reading->answer->token;
	return take_token(reading, name, token, fault) &&
	       (token->length > 0 || fault_set(fault, FAULT_BROKEN, "it has no \"%s\"; look at the address", name));
}

/* ---- OAuth 2.0 ---- */

static bool check_type(const struct reading_answer *reading, struct fault *fault)
{
	struct span type = SPAN("Bearer");
	return (json_member_text(reading->json, "token_type", &type) != MEMBER_OTHER && span_equal_nocase(type, SPAN("Bearer"))) ||
	       fault_set(fault, FAULT_BROKEN, "its \"token_type\" is not Bearer, and no other kind of token can be sent");
}

/* Digits; what is over `most` is `most`. */
static bool read_digits(struct span text, uint64_t most, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		*number = *number * 10 + (uint64_t)(text.data[i] - '0');
		*number = *number < most ? *number : most;
	}
	return *number > 0;
}

/* A number, or digits as text, which some send. */
static bool take_life(const struct reading_answer *reading, struct fault *fault)
{
	struct token_answer *answer = reading->answer;
	struct span text;
	enum member found = json_member_number(reading->json, "expires_in", TOKEN_MOST_LIFE, &answer->life);
	answer->life_told = found != MEMBER_ABSENT;
	if (found == MEMBER_ABSENT)
		answer->life = token_request_life(reading->asked->credential);
	if (found != MEMBER_OTHER)
		return true;
	return (json_member_text(reading->json, "expires_in", &text) == MEMBER_GOOD &&
	        read_digits(text, TOKEN_MOST_LIFE, &answer->life)) ||
	       fault_set(fault, FAULT_BROKEN, "its \"expires_in\" is no whole number of seconds above 0");
}

/* Only what was used can be rotated; one that stays need not be stored. */
static bool take_refresh(const struct reading_answer *reading, struct fault *fault)
{
	struct span *refresh = &reading->answer->refresh;
	if (reading->asked->request->grant != GRANT_REFRESH)
		return true;
	if (!take_token(reading, "refresh_token", refresh, fault))
		return false;
	if (span_equal(*refresh, reading->asked->secrets->refresh))
		*refresh = (struct span){0};
	return true;
}

static bool read_oauth2(const struct reading_answer *reading, struct fault *fault)
{
	return need_token(reading, "access_token", fault) && check_type(reading, fault) && take_life(reading, fault) &&
	       take_refresh(reading, fault);
}

/* ---- GitHub ---- */

static bool read_github(const struct reading_answer *reading, struct fault *fault)
{
	const struct token_reply *reply = reading->reply;
	uint64_t end = 0, now = (uint64_t)(reply->server_now > 0 ? reply->server_now : reply->now);
	struct span text = {0};
	if (!need_token(reading, "token", fault))
		return false;
	if (json_member_text(reading->json, "expires_at", &text) != MEMBER_GOOD || !text_parse_time(text, &end))
		return fault_set(fault, FAULT_BROKEN, "its \"expires_at\" is no time such as 2026-11-25T03:57:27Z");
	if (end <= now)
		return fault_set(fault, FAULT_BROKEN, "its \"expires_at\" has passed; is this machine's clock right?");
	reading->answer->life = end - now < TOKEN_MOST_LIFE ? end - now : TOKEN_MOST_LIFE;
	reading->answer->life_told = true;
	return true;
}

static const struct form {
	unsigned status; /* of an answer with a token */
	bool (*read)(const struct reading_answer *reading, struct fault *fault);
} forms[] = {
	[TOKEN_OAUTH2] = {200, read_oauth2},
	[TOKEN_GITHUB] = {201, read_github},
};

/* Some say 200 with an error in it. */
static bool says_error(const struct json *json)
{
	struct span text;
	return json_member_text(json, "error", &text) != MEMBER_ABSENT &&
	       json_member_text(json, "access_token", &text) == MEMBER_ABSENT;
}

bool token_answer_read(const struct token_asked *asked, const struct token_reply *reply, struct arena *arena,
                       struct token_answer *answer, struct fault *fault)
{
	const struct form *form = &forms[asked->request->form];
	struct fault broken = FAULT_INIT;
	struct json *json = json_read(reply->body, &broken);
	struct reading_answer reading = {asked, reply, json, arena, answer};
	*answer = (struct token_answer){0};
	bool good = false;
	if (reply->status != form->status || (json && says_error(json)))
		token_answer_refused(asked, reply, json, answer, fault);
	else if (!json)
		fault_set(fault, FAULT_BROKEN, "the token endpoint answered %u, but not as one: %s; look at the address", reply->status,
		          broken.text);
	else
		good = form->read(&reading, fault) || fault_wrap(fault, "the token endpoint's answer");
	json_end(json);
	if (!good)
		*answer = (struct token_answer){.final = answer->final};
	return good;
}
