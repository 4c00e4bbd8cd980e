/* What the test programs share. Each program is one claim, in its first line; it exits with 0 when the claim holds, 1
 * when it does not, 77 when this machine cannot show it (the last line of its output says why).
 *
 * The programs include rio.h only: they see what Python sees. An alarm ends a program that hangs.
 */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rio.h"

#define CANNOT_SHOW 77
#define HANGS_AFTER_SECONDS 120
#define MS 1000000LL /* nanoseconds */
#define PATIENCE (10000 * MS)
#define POLLED 0
#define EVENT 1
#define PORT 2

#define CHECK(condition)                                                                                        \
    do {                                                                                                        \
        if (!(condition)) {                                                                                     \
            printf("%s:%d: %s is false\n", __FILE__, __LINE__, #condition);                                     \
            exit(1);                                                                                            \
        }                                                                                                       \
    } while (0)

#define CHECK_EQUAL(value, expected)                                                                            \
    do {                                                                                                        \
        long long is = (long long)(value), should_be = (long long)(expected);                                   \
        if (is != should_be) {                                                                                  \
            printf("%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #value, is, should_be);                 \
            exit(1);                                                                                            \
        }                                                                                                       \
    } while (0)

static inline int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* ---- cores ---- */

static inline rio_core *open_core_with(uint32_t entries, uint32_t withhold) {
    rio_core *core;
    const char *step;
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(HANGS_AFTER_SECONDS);
    int error = rio_core_open(&core, entries, withhold, &step);
    if (error == -ENOSYS || error == -EPERM) {
        printf("no ring here: %s: %s\n", step, strerror(-error));
        exit(CANNOT_SHOW);
    }
    CHECK_EQUAL(error, 0);
    return core;
}

static inline rio_core *open_core(void) { return open_core_with(64, 0); }

/* Closes the core, which holds nothing any more. */
static inline void close_core(rio_core *core) {
    CHECK_EQUAL(rio_core_close(core, PATIENCE), 0);
    CHECK_EQUAL(rio_core_is_usable(core), RIO_E_CLOSED);
    rio_core_free(core);
}

static inline rio_info info_of(rio_core *core) {
    rio_info info;
    CHECK_EQUAL(rio_core_info(core, &info), 0);
    return info;
}

/* ---- queues and memory ---- */

static inline uint64_t new_cq_with(rio_core *core, uint32_t size, int notification, uint64_t key) {
    uint64_t handle;
    CHECK_EQUAL(rio_create_completion_queue(core, size, notification, -1, 0, 0, key, &handle), 0);
    return handle;
}

static inline uint64_t new_cq(rio_core *core, uint32_t size) { return new_cq_with(core, size, POLLED, 0); }

static inline uint64_t new_rq(rio_core *core, int fd, bool is_stream, uint32_t max, uint64_t cq, uint64_t context) {
    uint64_t handle;
    CHECK_EQUAL(rio_create_request_queue(core, fd, is_stream, max, max, cq, cq, context, &handle), 0);
    return handle;
}

static inline uint64_t register_memory(rio_core *core, void *memory, uint64_t length) {
    uint64_t id;
    CHECK_EQUAL(rio_register_buffer(core, memory, length, 0, &id), 0);
    return id;
}

/* Slots of a completion queue that request queues have reserved. */
static inline uint32_t charged(rio_core *core, uint64_t cq) {
    uint32_t capacity, reserved;
    CHECK_EQUAL(rio_completion_queue_usage(core, cq, &capacity, &reserved), 0);
    return reserved;
}

/* ---- sockets ---- */

static inline void stream_pair(int fds[2]) { CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0); }

static inline void address_of(int fd, struct sockaddr_storage *address, socklen_t *length) {
    *length = sizeof *address;
    CHECK_EQUAL(getsockname(fd, (struct sockaddr *)address, length), 0);
}

/* A socket bound to a free port of loopback. */
static inline int bound(int family, int type) {
    int fd = socket(family, type | SOCK_CLOEXEC, 0);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int error = fd < 0 ? -1
                : family == AF_INET ? bind(fd, (struct sockaddr *)&v4, sizeof v4)
                                    : bind(fd, (struct sockaddr *)&v6, sizeof v6);
    if (error) {
        printf("no loopback of family %d here: %s\n", family, strerror(errno));
        exit(CANNOT_SHOW);
    }
    return fd;
}

static inline void tcp_pair(int fds[2]) {
    struct sockaddr_storage address;
    socklen_t length;
    int listener = bound(AF_INET, SOCK_STREAM);
    CHECK_EQUAL(listen(listener, 1), 0);
    address_of(listener, &address, &length);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQUAL(connect(fds[0], (struct sockaddr *)&address, length), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(fds[1] >= 0);
    close(listener);
}

/* Raises the limit of descriptors to what the program needs, or gives up. */
static inline void need_descriptors(rlim_t count) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= count)
        return;
    limit.rlim_cur = count;
    if (setrlimit(RLIMIT_NOFILE, &limit)) {
        printf("needs %lu descriptors, the hard limit is %lu\n", (unsigned long)count, (unsigned long)limit.rlim_max);
        exit(CANNOT_SHOW);
    }
}

/* ---- results ---- */

/* Drives the ring until `count` results have been dequeued. */
static inline void collect(rio_core *core, uint64_t cq, rio_result *results, uint32_t count) {
    rio_event events[8];
    int64_t end = now_ns() + PATIENCE;
    for (uint32_t got = 0; got < count;) {
        int64_t taken = rio_dequeue(core, cq, results + got, count - got);
        CHECK(taken >= 0);
        got += (uint32_t)taken;
        if (!taken) {
            CHECK(now_ns() < end);
            int waited = rio_wait(core, 0, MS, events, 8);
            CHECK(waited >= 0 || waited == -EINTR);
        }
    }
}

static inline rio_result collect_one(rio_core *core, uint64_t cq) {
    rio_result result;
    collect(core, cq, &result, 1);
    return result;
}

/* No request is on its way and no result waits. */
static inline void check_idle(rio_core *core, uint64_t cq) {
    rio_result result;
    CHECK_EQUAL(rio_dequeue(core, cq, &result, 1), 0);
    CHECK_EQUAL(info_of(core).requests_outstanding, 0);
}

/* ---- chance ---- */

/* splitmix64: the same sequence everywhere for the same seed. */
static inline uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static inline uint32_t random_below(uint64_t *state, uint32_t bound_) {
    return (uint32_t)(random_next(state) >> 32) % bound_;
}

#endif
