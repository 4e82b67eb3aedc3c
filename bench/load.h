/*
 * What every load and origin here needs: failing in one line, watching sockets, and of what took how long.
 */
#ifndef LOAD_H
#define LOAD_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, QUIET_MS = 10000 };

__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

/* Memory anew or more of it, or the end. */
static inline void *enough(void *memory, size_t count, size_t size)
{
	memory = reallocarray(memory, count, size);
	if (!memory)
		fail("no memory");
	return memory;
}

static inline void watch(int poller, int operation, int fd, uint32_t events, void *owner)
{
	struct epoll_event event = {.events = events, .data.ptr = owner};
	if (epoll_ctl(poller, operation, fd, &event))
		fail("epoll_ctl: %s", strerror(errno));
}

/* Small messages are not held back: it is the proxy that is measured, not the algorithm of Nagle. */
static inline void without_delay(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

/* A socket that is about to be connected to 127.0.0.1:PORT, watched for that (EPOLLOUT). */
static inline int dial_loopback(int poller, uint16_t port, void *owner)
{
	struct sockaddr_in proxy = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		fail("socket: %s", strerror(errno));
	without_delay(fd);
	if (connect(fd, (struct sockaddr *)&proxy, sizeof proxy) && errno != EINPROGRESS)
		fail("connect: %s", strerror(errno));
	watch(poller, EPOLL_CTL_ADD, fd, EPOLLOUT, owner);
	return fd;
}

static inline void must_be_connected(int fd)
{
	int error = 0;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof error});
	if (error)
		fail("connecting to the proxy: %s", strerror(error));
}

/* The size of the 200 to a CONNECT at the start of `answer`, a string; 0: it is not whole. Any other is the end. */
static inline size_t connect_answer(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");
	if (!end)
		return 0;
	if (strncmp(answer, "HTTP/1.", 7) || strncmp(answer + 8, " 200", 4))
		fail("CONNECT was answered: %.*s", (int)strcspn(answer, "\r\n"), answer);
	return (size_t)(end - answer) + 4;
}

/* Fewer bytes than there is room for: one more is NUL. */
static inline size_t load_file(const char *path, char *bytes, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, bytes, room);
	if (got < 0)
		fail("%s: %s", path, strerror(errno));
	if ((size_t)got == room)
		fail("%s: too long", path);
	close(fd);
	bytes[got] = 0;
	return (size_t)got;
}

static inline uint64_t number(const char *word)
{
	char *end_of_number;
	uint64_t value = strtoull(word, &end_of_number, 10);
	if (*end_of_number || value == 0)
		fail("%s: a number from 1 is expected", word);
	return value;
}

/* --- times, in nanoseconds --- */

struct times {
	uint32_t *list;
	size_t count, room;
};

static inline uint64_t now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static inline void record(struct times *times, uint64_t since)
{
	if (times->count == times->room) {
		times->room = times->room ? times->room * 2 : 65536;
		times->list = enough(times->list, times->room, sizeof *times->list);
	}
	uint64_t took = now() - since;
	times->list[times->count++] = took < UINT32_MAX ? (uint32_t)took : UINT32_MAX;
}

static inline int rising(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

/* The line that tells what was done since `started`: how much, in which time, the median and the 99th percentile. */
static inline void report(uint64_t done, uint64_t started, struct times *times)
{
	uint64_t took = now() - started;
	uint32_t median = 0, late = 0;
	if (times->count) {
		qsort(times->list, times->count, sizeof *times->list, rising);
		median = times->list[times->count / 2];
		late = times->list[times->count - 1 - times->count / 100];
	}
	printf("%llu %llu %u %u\n", (unsigned long long)done, (unsigned long long)took, median, late);
	fflush(stdout);
}

#endif
