#include "way.h"

const char *way_name(enum way_kind kind)
{
	static const char *const names[] = {
		[WAY_REVERSE] = "reverse",     [WAY_FORWARD] = "forward",         [WAY_CONNECT] = "connect",
		[WAY_INTERCEPT] = "intercept", [WAY_TRANSPARENT] = "transparent",
	};
	return names[kind];
}
