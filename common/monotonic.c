#include "monotonic.h"

#include <time.h>

uint64_t monotonic_us(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

uint64_t monotonic_ms(void)
{
	return monotonic_us() / 1000;
}

bool monotonic_wait(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t milliseconds)
{
	if (milliseconds == UINT64_MAX)
		return pthread_cond_wait(condition, lock) == 0;
	uint64_t end = monotonic_us() + milliseconds * 1000;
	struct timespec time = {.tv_sec = (time_t)(end / 1000000), .tv_nsec = (long)(end % 1000000) * 1000};
	return pthread_cond_clockwait(condition, lock, CLOCK_MONOTONIC, &time) == 0;
}
