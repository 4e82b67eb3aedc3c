/* steady_now() as a test wants it: `ahead` milliseconds later than it is. Everything in the program sees it. */
#ifndef KEYSTILE_TEST_CLOCK_H
#define KEYSTILE_TEST_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_ullong ahead;

int clock_gettime(clockid_t clock, struct timespec *now)
{
	long result = syscall(SYS_clock_gettime, clock, now);
	if (result == 0 && clock == CLOCK_BOOTTIME) {
		uint64_t nanoseconds = (uint64_t)now->tv_nsec + atomic_load(&ahead) % 1000 * 1000000;
		now->tv_sec += (time_t)(atomic_load(&ahead) / 1000 + nanoseconds / 1000000000);
		now->tv_nsec = (long)(nanoseconds % 1000000000);
	}
	return (int)result;
}

#endif
