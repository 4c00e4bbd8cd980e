/* While the owner waits without an end, a post, notify, cancel and close of another thread take effect at once. */
#include "check.h"

#define ROUNDS 500

static rio_core *core;
static uint64_t cq, buffer;
static int fds[2];
static char memory[16];

/* Posts, dequeues what came, asks for a packet: the owner must come back from its wait for each. */
static void *caller(void *argument) {
    uint64_t rq = *(uint64_t *)argument, seed = 5;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        int64_t taken = 0, end = now_ns() + PATIENCE;
        rio_result result;
        uint32_t flags = random_below(&seed, 2) ? RIO_FLAG_DEFER : 0;
        CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 8, flags, round), 0);
        if (flags)
            CHECK_EQUAL(rio_commit(core, rq), 0);
        if (random_below(&seed, 2))
            CHECK_EQUAL(rio_cancel(core, rq, round), 0);
        else
            CHECK_EQUAL(write(fds[1], "x", 1), 1);
        while (!taken && now_ns() < end)
            taken = rio_dequeue(core, cq, &result, 1);
        CHECK_EQUAL(taken & 0xffffffff, 1);
        CHECK_EQUAL(result.request_context, round);
        CHECK(result.status == 0 || result.status == ECANCELED);
    }
    CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 8, 0, ROUNDS), 0);
    CHECK_EQUAL(rio_notify(core, cq), 0); /* the packet that the owner waits for */
    CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
    return NULL;
}

int main(void) {
    pthread_t thread;
    rio_event event = {0};
    rio_result result;
    core = open_core();
    cq = new_cq_with(core, 4, PORT, 42);
    buffer = register_memory(core, memory, sizeof memory);
    stream_pair(fds);
    uint64_t rq = new_rq(core, fds[0], true, 2, cq, 0);
    pthread_create(&thread, NULL, caller, &rq);
    int count;
    do
        count = rio_wait(core, 0, PATIENCE, &event, 1);
    while (count == -EINTR);
    CHECK_EQUAL(count, 1); /* 0 would be a call that did not reach the owner */
    CHECK_EQUAL(event.key, 42);
    pthread_join(thread, NULL);
    CHECK_EQUAL(rio_dequeue(core, cq, &result, 1) & 0xffffffff, 1);
    CHECK_EQUAL(result.request_context, ROUNDS);
    check_idle(core, cq);
    close_core(core);
    return 0;
}
