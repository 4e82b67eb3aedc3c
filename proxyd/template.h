/* The templates of injections, "Bearer {secret}" or "/bot{secret}", held against what an agent sent. Pure. */
#ifndef KEYSTILE_TEMPLATE_H
#define KEYSTILE_TEMPLATE_H

#include "span.h"

/* Does `text` have the form of `template`, all of it? Each {NAME} stands for one byte or more. `*first` is what stands
 * in the first {NAME}'s place: where an agent shows its token (SPEC §9). */
bool template_match(struct span template, struct span text, struct span *first);

/* The same for the beginning of a path, by whole segments: a {NAME} stays within its segment. `*used` is the length of
 * that beginning; `first` may be NULL. */
bool template_match_path(struct span template, struct span path, struct span *first, size_t *used);

#endif
