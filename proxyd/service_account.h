/* A Google service account's key file: JSON with a private key in it. Pure. */
#ifndef KEYSTILE_SERVICE_ACCOUNT_H
#define KEYSTILE_SERVICE_ACCOUNT_H

#include "arena.h"
#include "fault.h"
#include "origin.h"

struct service_account {
	struct span email, key, key_id, token_uri; /* client_email, private_key (PEM), private_key_id */
	struct origin endpoint;                    /* token_uri's */
};

/* Reads `text`; what it finds is in `arena`, which its owner wipes, since the key is in there. FAULT_BROKEN says which member is
 * missing or unfit, without a byte of any. Whether the key is one is jose.h's to say. */
bool service_account_read(struct span text, struct arena *arena, struct service_account *account, struct fault *fault);

#endif
