/* A handle that is out of date, or was never given out, is refused by every function and reaches nothing. */
#include "check.h"

static char memory[64];
static uint32_t capacity, used;

static void check_refused(rio_core *core, uint64_t rq, uint64_t cq, uint64_t good_cq, uint64_t buffer) {
    rio_result result;
    uint64_t out;
    CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 1, 0, 0), RIO_E_INVAL);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, 0), RIO_E_INVAL);
    CHECK_EQUAL(rio_commit(core, rq), RIO_E_INVAL);
    CHECK_EQUAL(rio_resize_request_queue(core, rq, 1, 1), RIO_E_INVAL);
    CHECK_EQUAL(rio_cancel(core, rq, 0), 0);
    CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
    CHECK_EQUAL(rio_dequeue(core, cq, &result, 1), -RIO_E_INVAL);
    CHECK_EQUAL(rio_notify(core, cq), RIO_E_INVAL);
    CHECK_EQUAL(rio_resize_completion_queue(core, cq, 4), RIO_E_INVAL);
    CHECK_EQUAL(rio_completion_queue_usage(core, cq, &capacity, &used), RIO_E_INVAL);
    CHECK_EQUAL(rio_close_completion_queue(core, cq), 0);
    CHECK_EQUAL(rio_create_request_queue(core, 0, 1, 1, 1, cq, good_cq, 0, &out), RIO_E_INVAL);
    CHECK_EQUAL(rio_create_request_queue(core, 0, 1, 1, 1, good_cq, cq, 0, &out), RIO_E_INVAL);
}

int main(void) {
    rio_core *core = open_core();
    int fds[2];
    uint64_t buffer = register_memory(core, memory, sizeof memory), good_cq = new_cq(core, 1000), out;
    stream_pair(fds);
    uint64_t good = new_rq(core, fds[1], true, 1, good_cq, 0);
    CHECK_EQUAL(rio_create_completion_queue(core, 1, PORT, -1, 0, 99, 0, &out), RIO_E_INVAL);
    CHECK_EQUAL(rio_create_completion_queue(core, 0, POLLED, -1, 0, 0, 0, &out), RIO_E_INVAL);
    CHECK_EQUAL(rio_create_completion_queue(core, UINT32_MAX, POLLED, -1, 0, 0, 0, &out), RIO_E_INVAL);
    for (int i = 0; i < 200; i++) {
        uint64_t cq = new_cq(core, 2), rq = new_rq(core, fds[0], true, 1, cq, 0);
        /* The completion queue is closed first: the results of the other go nowhere, and both places come back. */
        CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 1, 0, 0), 0);
        CHECK_EQUAL(rio_close_completion_queue(core, cq), 0);
        CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
        check_refused(core, rq, cq, good_cq, buffer);
        check_refused(core, rq ^ 1ULL << 40, cq ^ 1ULL << 40, good_cq, buffer);
        check_refused(core, UINT64_MAX, UINT64_MAX, good_cq, buffer);
        check_refused(core, 0, 0, good_cq, buffer);
    }
    check_idle(core, good_cq);
    CHECK_EQUAL(charged(core, good_cq), 2);
    CHECK_EQUAL(rio_buffer_uses(core, buffer), 0);
    CHECK_EQUAL(rio_close_request_queue(core, good), 0);
    close_core(core);
    return 0;
}
