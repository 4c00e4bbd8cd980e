/* The two disciplines, as loops over exchanges. */

#include "load.h"

#include <errno.h>
#include <sys/epoll.h>

#define EVENTS_MAX 256

static void account(struct load *load, struct connection *connection) {
    connection->sequence += load->options.pipeline;
    load->messages += load->options.pipeline;
    load->bytes += load->batch_bytes;
}

static void lockstep_round(struct load *load) {
    const struct exchange *exchange = load->mode->exchange;
    for (size_t i = 0; i < load->options.connections; i++) {
        exchange->begin(load, &load->connections[i]);
    }
    for (size_t i = 0; i < load->options.connections; i++) {
        exchange->finish(load, &load->connections[i]);
        account(load, &load->connections[i]);
    }
}

void run_lockstep(struct load *load) {
    while (has_time(load)) {
        lockstep_round(load);
    }
}

static void warm_up(struct load *load, int rounds) {
    for (int round = 0; round < rounds; round++) {
        lockstep_round(load);
    }
    load->messages = load->bytes = 0;
}

/* One round on every connection, not counted: each is accepted and has its buffers when the run begins. */
void warm_up_exchange(struct load *load) { warm_up(load, 1); }

/* Some servers make late what a connection needs when it stays: that is theirs before the run, too. */
void warm_up_to_stay(struct load *load) { warm_up(load, 3); }

void warm_up_to_hold(struct load *load) { warm_up(load, load->options.exchanges); }

/* Tell epoll of a connection, or of a change in connection->wants_write. */
void watch(struct load *load, struct connection *connection) {
    struct epoll_event event = {.events = EPOLLIN | (connection->wants_write ? EPOLLOUT : 0),
                                .data.ptr = connection};
    if (epoll_ctl(load->epoll_fd, EPOLL_CTL_MOD, connection->fd, &event) == 0) {
        return;
    }
    if (errno != ENOENT || epoll_ctl(load->epoll_fd, EPOLL_CTL_ADD, connection->fd, &event) != 0) {
        fail_errno("epoll_ctl", NULL);
    }
}

static void begin(struct load *load, struct connection *connection) {
    connection->started_ns = now_ns();
    load->mode->exchange->begin(load, connection);
}

/* Ask again and again until there is something to do. A generator that sleeps pays for being woken, and on a
 * virtual machine that is more than a message: the figure would be that of the CPU's idle state. What is spent on
 * asking in vain is kept apart, so that one can see whether the generator was the limit. */
static int spin(struct load *load, struct epoll_event *events, uint64_t give_up_ns) {
    uint64_t asked_ns = now_ns();
    uint64_t limit_ns = asked_ns + ns_of(load->options.timeout_seconds);
    for (;;) {
        int count = epoll_wait(load->epoll_fd, events, EVENTS_MAX, 0);
        if (count < 0 && errno != EINTR) {
            fail_errno("epoll_wait", NULL);
        }
        uint64_t time_ns = now_ns();
        if (time_ns > give_up_ns) {
            return 0;
        }
        if (count > 0) {
            return count;
        }
        load->spun_ns += time_ns - asked_ns;
        asked_ns = time_ns;
        if (time_ns > limit_ns) {
            return 0;
        }
    }
}

/* A closed loop on each connection until the time is over, then until all have their last answer. A connection
 * whose answer is lost stays open in that count, so it ends in a timeout, not in a better figure. */
void run_rate(struct load *load) {
    struct epoll_event events[EVENTS_MAX];
    size_t busy = load->options.connections;
    uint64_t give_up_ns = load->deadline_ns + ns_of(load->options.timeout_seconds);

    for (size_t i = 0; i < load->options.connections; i++) {
        begin(load, &load->connections[i]);
    }
    while (busy > 0) {
        int count = spin(load, events, give_up_ns);
        if (count == 0) {
            fail("timeout", "%zu of %zu connections have no answer within the time limit", busy,
                 load->options.connections);
        }
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!load->mode->exchange->progress(load, connection, events[i].events)) {
                continue;
            }
            histogram_add(&load->latency, now_ns() - connection->started_ns);
            account(load, connection);
            if (has_time(load)) {
                begin(load, connection);
            } else {
                busy--;
            }
        }
    }
}
