/* A completion queue never promises more than its capacity, and each credit comes back with its result. */
#include "check.h"

int main(void) {
    rio_core *core = open_core();
    char memory[64] = {0};
    int fds[2];
    uint64_t rq, other, cq = new_cq(core, 8), buffer = register_memory(core, memory, sizeof memory);
    rio_result results[8];
    stream_pair(fds);
    CHECK_EQUAL(rio_create_request_queue(core, fds[0], 1, 4, 5, cq, cq, 0, &rq), RIO_E_NOBUFS);
    CHECK_EQUAL(rio_create_request_queue(core, fds[0], 1, 0, 0, cq, cq, 0, &rq), RIO_E_INVAL);
    CHECK_EQUAL(rio_create_request_queue(core, fds[0], 1, UINT32_MAX, UINT32_MAX, cq, cq, 0, &rq), RIO_E_NOBUFS);
    CHECK_EQUAL(charged(core, cq), 0);
    CHECK_EQUAL(rio_create_request_queue(core, fds[0], 1, 4, 4, cq, cq, 0, &rq), 0);
    CHECK_EQUAL(charged(core, cq), 8);
    CHECK_EQUAL(rio_create_request_queue(core, fds[1], 1, 1, 0, cq, cq, 0, &other), RIO_E_NOBUFS);

    /* Credits of the request queue. */
    for (uint64_t i = 0; i < 4; i++)
        CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, i), 0);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, 4), RIO_E_NOBUFS);
    collect(core, cq, results, 1);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, 4), 0);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, 5), RIO_E_NOBUFS);

    /* Resizing, while results wait: nothing is lost, and no promise is broken. */
    CHECK_EQUAL(rio_resize_request_queue(core, rq, 4, 3), RIO_E_TOOMANYREFS);
    CHECK_EQUAL(rio_resize_request_queue(core, rq, 5, 4), RIO_E_NOBUFS);
    CHECK_EQUAL(rio_resize_completion_queue(core, cq, 7), RIO_E_TOOMANYREFS);
    CHECK_EQUAL(rio_resize_completion_queue(core, cq, 0), RIO_E_INVAL);
    CHECK_EQUAL(rio_resize_completion_queue(core, cq, UINT32_MAX), RIO_E_INVAL);
    CHECK_EQUAL(rio_resize_completion_queue(core, cq, 4000), 0);
    CHECK_EQUAL(rio_resize_request_queue(core, rq, 100, 2000), 0);
    CHECK_EQUAL(charged(core, cq), 2100);
    collect(core, cq, results, 4);
    for (uint64_t i = 0; i < 4; i++)
        CHECK_EQUAL(results[i].request_context, i + 1);
    CHECK_EQUAL(rio_resize_request_queue(core, rq, 3, 0), 0);
    CHECK_EQUAL(charged(core, cq), 3);
    CHECK_EQUAL(rio_resize_completion_queue(core, cq, 3), 0);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, 0), RIO_E_NOBUFS);

    /* Closing: the charge stays until the last result has left. */
    CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 8, 0, 9), 0);
    CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
    CHECK_EQUAL(charged(core, cq), 3);
    CHECK_EQUAL(collect_one(core, cq).status, ECANCELED);
    CHECK_EQUAL(charged(core, cq), 0);
    check_idle(core, cq);
    close_core(core);
    return 0;
}
