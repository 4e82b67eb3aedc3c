/* What the files of token_answer*.c share. */
#ifndef KEYSTILE_TOKEN_ANSWER_INTERNAL_H
#define KEYSTILE_TOKEN_ANSWER_INTERNAL_H

#include "json.h"
#include "token_answer.h"

/* Tells why there is no token. `json` is the answer's object, NULL where it has none. Sets `answer->final`. Returns false. */
bool token_answer_refused(const struct token_asked *asked, const struct token_reply *reply, const struct json *json,
                          struct token_answer *answer, struct fault *fault);

#endif
