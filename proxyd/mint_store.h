/* A trust bundle in the form that Java reads (JKS): it takes no PEM file for a trust store. */
#ifndef KEYSTILE_MINT_STORE_H
#define KEYSTILE_MINT_STORE_H

#include "buffer.h"
#include "fault.h"

/* Appends a store of every certificate of `bundle` (PEM) to `out`. Its integrity is checked with the password "changeit",
 * Java's own default, or with none at all; there is nothing secret in it. FAULT_BROKEN where a certificate does not decode. */
bool mint_store(struct span bundle, struct buffer *out, struct fault *fault);

#endif
