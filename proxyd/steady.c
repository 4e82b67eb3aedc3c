#include "steady.h"

#include <time.h>

uint64_t steady_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t steady_date(uint64_t at)
{
	uint64_t now = steady_now(), seconds = (uint64_t)time(NULL);
	return at >= now ? seconds + (at - now) / 1000 : seconds - (now - at) / 1000;
}
