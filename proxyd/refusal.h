/* A problem as the bytes of a whole HTTP/1.1 response with Connection: close: for connections that no exchange serves. */
#ifndef KEYSTILE_REFUSAL_H
#define KEYSTILE_REFUSAL_H

#include "buffer.h"
#include "problem.h"

void refusal_write(const struct problem *problem, struct buffer *out);

#endif
