#include "metrics_process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* The folder's own descriptor, which it takes to count, aside. */
static bool count_files(uint64_t *count)
{
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;
	if (!folder)
		return false;
	*count = 0;
	while ((entry = readdir(folder)))
		*count += entry->d_name[0] != '.';
	closedir(folder);
	*count -= *count > 0;
	return true;
}

static bool read_memory(uint64_t *virtual_bytes, uint64_t *resident_bytes)
{
	unsigned long long pages, resident;
	FILE *file = fopen("/proc/self/statm", "re");
	bool found = file && fscanf(file, "%llu %llu", &pages, &resident) == 2;
	if (file)
		fclose(file);
	if (!found)
		return false;
	*virtual_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	*resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

static void gauge(struct exposition *exposition, const char *name, const char *help, uint64_t value)
{
	exposition_family(exposition, EXPOSITION_GAUGE, name, help);
	exposition_sample(exposition, NULL, value);
}

static uint64_t microseconds(struct timeval time)
{
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

void metrics_process(struct exposition *exposition, time_t started)
{
	struct rusage usage;
	struct rlimit files;
	uint64_t open_files, virtual_bytes, resident_bytes;
	gauge(exposition, "process_start_time_seconds", "When the process started, in seconds since 1970.", (uint64_t)started);
	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		exposition_family(exposition, EXPOSITION_COUNTER, "process_cpu_seconds_total", "Processor time, of user and system.");
		exposition_seconds(exposition, NULL, microseconds(usage.ru_utime) + microseconds(usage.ru_stime));
	}
	if (read_memory(&virtual_bytes, &resident_bytes)) {
		gauge(exposition, "process_resident_memory_bytes", "Memory that is resident.", resident_bytes);
		gauge(exposition, "process_virtual_memory_bytes", "Memory that is mapped.", virtual_bytes);
	}
	if (count_files(&open_files))
		gauge(exposition, "process_open_fds", "Descriptors that are open.", open_files);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		gauge(exposition, "process_max_fds", "Descriptors that may be open.", files.rlim_cur);
}
