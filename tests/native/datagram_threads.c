/* Threads that are not the owner post datagrams, many in a call, while the owner waits; each completes once. */
#include "check.h"

#include <sched.h>

#define AT_ONCE 16u
#define ROWS 2000u
#define ROW 8u
#define FIRST_RECEIVE 1000000u

static char memory[4096];
static uint64_t posted[2]; /* receives, sends */
static uint32_t running = 2;

struct world {
    rio_core *core;
    uint64_t cq, rq, buffer;
};

static void *post(void *argument, int direction) {
    struct world *w = argument;
    uint32_t lengths[ROW];
    for (uint32_t i = 0; i < ROW; i++)
        lengths[i] = 8;
    for (uint32_t row = 0; row < ROWS;) {
        int taken = direction ? rio_send_many(w->core, w->rq, w->buffer, 0, lengths, 0, 0, ROW, 0, posted[1])
                              : rio_receive_many(w->core, w->rq, w->buffer, 1024, 0, 8, 2048, 0, ROW, 0,
                                                 FIRST_RECEIVE + posted[0]);
        CHECK(taken > 0 || taken == -RIO_E_NOBUFS);
        if (taken > 0) {
            __atomic_fetch_add(&posted[direction], (uint64_t)taken, __ATOMIC_RELAXED);
            row++;
        } else {
            sched_yield();
        }
        if (!direction && __atomic_load_n(&running, __ATOMIC_RELAXED) < 2)
            break; /* nobody sends any more */
    }
    __atomic_fetch_sub(&running, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void *post_receives(void *argument) { return post(argument, 0); }
static void *post_sends(void *argument) { return post(argument, 1); }

int main(void) {
    struct world w = {.core = open_core()};
    struct sockaddr_storage address;
    socklen_t size;
    rio_event events[4];
    rio_result results[64];
    uint64_t next[2] = {0, 0};
    pthread_t threads[2];
    int fd = bound(AF_INET, SOCK_DGRAM);
    address_of(fd, &address, &size);
    CHECK_EQUAL(connect(fd, (struct sockaddr *)&address, size), 0); /* to itself */
    w.cq = new_cq(w.core, 2 * AT_ONCE);
    w.rq = new_rq(w.core, fd, false, AT_ONCE, w.cq, 0);
    w.buffer = register_memory(w.core, memory, sizeof memory);
    CHECK_EQUAL(pthread_create(&threads[0], NULL, post_receives, &w), 0);
    CHECK_EQUAL(pthread_create(&threads[1], NULL, post_sends, &w), 0);
    for (bool is_closed = false; !is_closed || info_of(w.core).requests_outstanding;) {
        if (!is_closed && !__atomic_load_n(&running, __ATOMIC_ACQUIRE)) {
            pthread_join(threads[0], NULL);
            pthread_join(threads[1], NULL);
            CHECK_EQUAL(rio_close_request_queue(w.core, w.rq), 0);
            is_closed = true;
        }
        int count = rio_wait(w.core, 0, MS, events, 4);
        CHECK(count >= 0 || count == -EINTR);
        int64_t taken = rio_dequeue(w.core, w.cq, results, 64);
        for (uint32_t i = 0; i < (uint32_t)taken; i++) {
            bool is_send = results[i].request_context < FIRST_RECEIVE;
            CHECK(results[i].status == 0 || (is_closed && results[i].status == ECANCELED));
            /* In order; what the close has aborted, where the system dropped datagrams, comes in any. */
            CHECK(is_closed || results[i].request_context == next[is_send] + (is_send ? 0 : FIRST_RECEIVE));
            next[is_send]++;
        }
    }
    CHECK_EQUAL(next[0], posted[0]);
    CHECK_EQUAL(next[1], posted[1]);
    CHECK(next[1] > ROWS);
    close_core(w.core);
    close(fd);
    return 0;
}
