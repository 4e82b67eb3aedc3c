/* Refusals of what is no request: what to tell, and as the bytes of a whole response. */
#ifndef KEYSTILE_REFUSAL_H
#define KEYSTILE_REFUSAL_H

#include "buffer.h"
#include "codec_h1.h"
#include "config.h"
#include "problem.h"

/* What is told of a request head that the codec does not take; neither MORE nor DONE. `why` is the codec's. */
void refusal_of_head(enum codec_result result, const char *why, const struct config_limits *limits, struct arena *arena,
                     struct problem *problem);

/* A whole HTTP/1.1 response, for connections that no exchange serves. `close`: with Connection: close. */
void refusal_write(const struct problem *problem, bool close, struct buffer *out);

#endif
