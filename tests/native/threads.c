/* Four threads post, commit, cancel, dequeue and wake while the owner waits: each request completes exactly once.
 *
 * Arguments: requests of each thread (default 5000). Made to be run under ThreadSanitizer too. */
#include "check.h"

#define THREADS 4u
#define IN_FLIGHT 16u

static rio_core *core;
static uint64_t cq;
static uint32_t each = 5000, finished;
static struct {
    uint64_t rq, buffer;
    uint32_t in_flight;
    uint8_t *seen;
    char memory[2];
    int fds[2];
} lanes[THREADS];

static void take(void) {
    rio_result results[8];
    int64_t taken = rio_dequeue(core, cq, results, 8);
    CHECK(taken >= 0);
    for (uint32_t i = 0; i < (uint32_t)taken; i++) {
        uint64_t lane = results[i].socket_context;
        CHECK(results[i].status == 0 || results[i].status == ECANCELED);
        CHECK_EQUAL(__atomic_fetch_add(&lanes[lane].seen[results[i].request_context], 1, __ATOMIC_RELAXED), 0);
        __atomic_sub_fetch(&lanes[lane].in_flight, 1, __ATOMIC_ACQ_REL);
        __atomic_add_fetch(&finished, 1, __ATOMIC_ACQ_REL);
    }
}

static void *poster(void *argument) {
    uint32_t lane = *(uint32_t *)argument;
    uint64_t seed = lane + 100;
    char drained[4096];
    for (uint32_t i = 0; i < each; i++) {
        uint32_t flags = random_below(&seed, 2) ? RIO_FLAG_DEFER : 0;
        while (__atomic_load_n(&lanes[lane].in_flight, __ATOMIC_ACQUIRE) == IN_FLIGHT)
            take();
        __atomic_add_fetch(&lanes[lane].in_flight, 1, __ATOMIC_ACQ_REL);
        CHECK_EQUAL(rio_send(core, lanes[lane].rq, lanes[lane].buffer, 0, 1, flags, i), 0);
        if (random_below(&seed, 4) == 0)
            CHECK_EQUAL(rio_commit(core, lanes[lane].rq), 0);
        if (random_below(&seed, 8) == 0)
            CHECK_EQUAL(rio_cancel(core, lanes[lane].rq, i), 0);
        if (random_below(&seed, 16) == 0)
            CHECK_EQUAL(rio_wake(core, 0), 0);
        if (random_below(&seed, 64) == 0)
            CHECK_EQUAL(rio_deregister_buffer(core, register_memory(core, &drained, 1)), 0);
        while (recv(lanes[lane].fds[1], drained, sizeof drained, MSG_DONTWAIT) > 0)
            continue;
    }
    CHECK_EQUAL(rio_commit_all(core), 0);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];
    rio_event events[4];
    if (argc > 1)
        each = (uint32_t)atoi(argv[1]);
    core = open_core();
    cq = new_cq_with(core, 2 * THREADS * IN_FLIGHT, PORT, 1);
    for (uint32_t i = 0; i < THREADS; i++) {
        stream_pair(lanes[i].fds);
        lanes[i].rq = new_rq(core, lanes[i].fds[0], true, IN_FLIGHT, cq, i);
        lanes[i].buffer = register_memory(core, lanes[i].memory, 2);
        lanes[i].seen = calloc(each, 1);
        numbers[i] = i;
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, poster, &numbers[i]);
    int64_t end = now_ns() + 100000 * MS;
    while (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) < THREADS * each) {
        int count = rio_wait(core, 0, MS, events, 4);
        CHECK(count >= 0 || count == -EINTR);
        take();
        int code = rio_notify(core, cq);
        CHECK(code == 0 || code == RIO_E_ALREADY);
        CHECK(now_ns() < end);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        for (uint32_t k = 0; k < each; k++)
            CHECK_EQUAL(lanes[i].seen[k], 1);
        free(lanes[i].seen);
    }
    check_idle(core, cq);
    close_core(core);
    return 0;
}
