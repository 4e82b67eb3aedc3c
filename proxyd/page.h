/* The admin page: one file, page.html, compiled in with the policy under which it is served (SPEC §12). */
#ifndef KEYSTILE_PAGE_H
#define KEYSTILE_PAGE_H

#include "span.h"

/* What common/texts.sh makes of page.html: a list of one. */
struct page_text {
	const char *text;
	size_t length;
};
extern const struct page_text page_text_list[];
extern const size_t page_text_count;

/* The value of Content-Security-Policy, made by page.sh: the page's own style and script, by their SHA-256, and requests to
 * where it came from. Nothing else, from anywhere. */
extern const char page_policy[];

/* The page, UTF-8. Static. */
static inline struct span page_html(void)
{
	return (struct span){page_text_list[0].text, page_text_list[0].length};
}

#endif
