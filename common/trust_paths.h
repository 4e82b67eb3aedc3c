/* Where proxyd writes what clients need to trust interception's CA, and envgen leads them to. */
#ifndef KEYSTILE_TRUST_PATHS_H
#define KEYSTILE_TRUST_PATHS_H

#include "config.h"

#define TRUST_STORE_ENDING ".jks" /* behind the bundle's path */

/* The CA's certificate, and the roots with it: tls.ca_out and tls.bundle_out, else in the state folder. The caller frees
 * them; NULL where there is no state folder. */
char *trust_ca_path(const struct config *config);
char *trust_bundle_path(const struct config *config);

#endif
