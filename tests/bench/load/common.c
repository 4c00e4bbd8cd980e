/* Errors, clocks, and sockets with a time limit on every blocking call. */

#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* The result of a run that went wrong: a kind for programs, a sentence for people. The sentence is made here of
 * numbers and fixed words, and strerror texts, none of which need escaping in JSON. */
_Noreturn void fail(const char *kind, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("{\"error\": \"%s\", \"detail\": \"", kind);
    vprintf(format, arguments);
    printf("\"}\n");
    va_end(arguments);
    fflush(stdout);
    _exit(1);
}

_Noreturn void fail_errno(const char *what, const struct connection *connection) {
    int number = errno;
    if (connection == NULL) {
        fail("system", "%s: %s", what, strerror(number));
    }
    unsigned long long sequence = connection->sequence;
    switch (number) {
    case EAGAIN:
        fail("timeout", "%s: nothing within the time limit (connection %u, batch from message %llu)", what,
             connection->index, sequence);
    case ECONNRESET:
    case EPIPE:
    case ECONNREFUSED:
        fail("closed_early", "%s: %s (connection %u, batch from message %llu)", what, strerror(number),
             connection->index, sequence);
    default:
        fail("system", "%s: %s (connection %u)", what, strerror(number), connection->index);
    }
}

static uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time) != 0) {
        fail_errno("clock_gettime", NULL);
    }
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t now_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t cpu_ns(void) {
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t ns_of(double seconds) {
    return (uint64_t)(seconds * 1e9);
}

void *allocate(size_t size_bytes) {
    void *memory = calloc(1, size_bytes ? size_bytes : 1);
    if (memory == NULL) {
        fail("system", "out of memory (%zu bytes)", size_bytes);
    }
    return memory;
}

bool has_time(const struct load *load) {
    uint64_t limit = load->options.messages_max;
    return (limit == 0 || load->messages < limit) && now_ns() < load->deadline_ns;
}

/* A connected blocking socket. Its time limits make a lost message an error instead of a hang. */
int socket_open(const struct load *load, int type) {
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fail_errno("socket", NULL);
    }
    double seconds = load->options.timeout_seconds;
    struct timeval limit = {.tv_sec = (time_t)seconds};
    limit.tv_usec = (suseconds_t)((seconds - (double)limit.tv_sec) * 1e6);
    int one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) {
        fail_errno("setsockopt(SO_RCVTIMEO)", NULL);
    }
    /* Without it the second small message of a batch waits for the acknowledgement of the first: 40 ms. */
    if (type == SOCK_STREAM && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) {
        fail_errno("setsockopt(TCP_NODELAY)", NULL);
    }
    if (connect(fd, (const struct sockaddr *)&load->options.address, sizeof load->options.address) != 0) {
        fail("connect", "connect to 127.0.0.1:%u: %s", ntohs(load->options.address.sin_port), strerror(errno));
    }
    return fd;
}

void set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) {
        fail_errno("fcntl(O_NONBLOCK)", NULL);
    }
}

/* Blocking: returns when all is sent. */
void send_all(struct connection *connection, const uint8_t *data, size_t size_bytes) {
    size_t sent = 0;
    while (sent < size_bytes) {
        ssize_t count = send(connection->fd, data + sent, size_bytes - sent, MSG_NOSIGNAL);
        if (count < 0) {
            fail_errno("send", connection);
        }
        sent += (size_t)count;
    }
}

/* Blocking: at least one byte. End of file is an error: no server of these workloads closes in the middle. */
size_t receive_some(struct connection *connection, uint8_t *into, size_t size_bytes_max) {
    ssize_t count = recv(connection->fd, into, size_bytes_max, 0);
    if (count < 0) {
        fail_errno("recv", connection);
    }
    if (count == 0) {
        fail("closed_early", "the server closed connection %u before its answer was complete (batch from message %llu)",
             connection->index, (unsigned long long)connection->sequence);
    }
    return (size_t)count;
}

void receive_exactly(struct connection *connection, uint8_t *into, size_t size_bytes) {
    size_t received = 0;
    while (received < size_bytes) {
        received += receive_some(connection, into + received, size_bytes - received);
    }
}
