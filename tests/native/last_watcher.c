/* A waiter that slept through the owner's leaving hears of results, though who watched in its place has gone too. */
/* Link with: -Wl,--wrap=ppoll */
#include "check.h"

static rio_core *core;
static uint64_t port;
static pthread_barrier_t may_sleep;
static __thread bool is_late; /* is held back between its look and its sleep */

int __real_ppoll(struct pollfd *watched, nfds_t count, const struct timespec *time, const sigset_t *mask);

int __wrap_ppoll(struct pollfd *watched, nfds_t count, const struct timespec *time, const sigset_t *mask) {
    if (is_late && count > 1)
        return 0; /* look again: the owner does not wait yet */
    if (is_late) {
        is_late = false;
        CHECK_EQUAL(rio_wake(core, 0), 0);
        pthread_barrier_wait(&may_sleep);
    }
    return __real_ppoll(watched, count, time, mask);
}

static void *wait_late(void *argument) {
    (void)argument;
    rio_event event;
    int64_t end = now_ns() + PATIENCE;
    int count;
    is_late = true;
    do
        count = rio_wait(core, port, PATIENCE, &event, 1);
    while (count == -EINTR); /* it has looked many times before the owner waited */
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(event.kind, RIO_EVENT_PACKET);
    CHECK(now_ns() < end); /* a wait that heard of nothing finds the result in its last look */
    return NULL;
}

static void *wait_in_its_place(void *argument) {
    (void)argument;
    rio_event event;
    CHECK_EQUAL(rio_wait(core, port, MS, &event, 1), 0);
    return NULL;
}

int main(void) {
    char memory[1];
    int fds[2];
    rio_event event;
    pthread_t late, other;
    uint64_t cq;
    core = open_core();
    stream_pair(fds);
    CHECK_EQUAL(rio_port_create(core, &port), 0);
    CHECK_EQUAL(rio_create_completion_queue(core, 4, PORT, -1, 0, port, 7, &cq), 0);
    uint64_t rq = new_rq(core, fds[0], true, 1, cq, 0);
    CHECK_EQUAL(rio_receive(core, rq, register_memory(core, memory, 1), 0, 1, 0, 0), 0);
    CHECK_EQUAL(rio_notify(core, cq), 0);
    pthread_barrier_init(&may_sleep, NULL, 2);
    pthread_create(&late, NULL, wait_late, NULL);
    CHECK_EQUAL(rio_wait(core, 0, PATIENCE, &event, 1), 1);
    pthread_create(&other, NULL, wait_in_its_place, NULL);
    pthread_join(other, NULL);
    pthread_barrier_wait(&may_sleep);
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    pthread_join(late, NULL);
    collect_one(core, cq);
    close_core(core);
    return 0;
}
