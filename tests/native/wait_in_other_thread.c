/* A thread that did not open the core can wait for a port: no packet and no wake-up of it is lost. */
#include "check.h"

#define ROUNDS 3000

static rio_core *core;
static uint64_t cq, rq, buffer;
static uint64_t port;
static uint32_t seen;
static bool is_over;
static char memory[4];

/* Whoever waits: arms after it has dequeued all, as RIO wants. */
static void *waiter(void *argument) {
    (void)argument;
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
        rio_event events[4];
        rio_result results[4];
        int count = rio_wait(core, port, PATIENCE, events, 4);
        CHECK_EQUAL(count, 1); /* 0 would be something that got lost */
        if (events[0].kind == RIO_EVENT_WAKE)
            continue;
        CHECK_EQUAL(events[0].kind, RIO_EVENT_PACKET);
        CHECK_EQUAL(events[0].key, 77);
        int64_t taken = rio_dequeue(core, cq, results, 4);
        CHECK(taken >= 0);
        __atomic_add_fetch(&seen, (uint32_t)taken, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void wait_for(uint32_t count) {
    int64_t end = now_ns() + PATIENCE;
    while (__atomic_load_n(&seen, __ATOMIC_ACQUIRE) != count)
        CHECK(now_ns() < end);
}

int main(void) {
    int fds[2];
    pthread_t thread;
    rio_event event;
    uint64_t seed = 4;
    core = open_core();
    CHECK_EQUAL(rio_port_create(core, &port), 0);
    CHECK_EQUAL(rio_create_completion_queue(core, 4, PORT, -1, 0, port, 77, &cq), 0);
    buffer = register_memory(core, memory, sizeof memory);
    stream_pair(fds);
    rq = new_rq(core, fds[0], true, 2, cq, 0);
    pthread_create(&thread, NULL, waiter, NULL);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        /* The result is there before the notification is asked for, or after; the owner looks on, or waits too. */
        bool is_armed_first = random_below(&seed, 2), looks = random_below(&seed, 2), waits = random_below(&seed, 2);
        if (is_armed_first)
            CHECK_EQUAL(rio_notify(core, cq), 0);
        CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 1, 0, round), 0);
        CHECK_EQUAL(write(fds[1], "x", 1), 1);
        if (looks)
            rio_wait(core, 0, 0, &event, 1);
        if (!is_armed_first)
            CHECK_EQUAL(rio_notify(core, cq), 0);
        if (waits)
            rio_wait(core, 0, MS / 10, &event, 1);
        wait_for(round + 1);
    }
    __atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
    CHECK_EQUAL(rio_wake(core, port), 0);
    pthread_join(thread, NULL);
    close_core(core);
    return 0;
}
