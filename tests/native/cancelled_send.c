/* A stream send that is cancelled half way fails and says how much of it went: the peer gets that, and no byte more. */
#include "check.h"

#define LENGTH (8u << 20)

/* Left to themselves the buffers of a loopback connection may grow until they hold all that the peer has not read. */
#define SOCKET_BUFFER (256 << 10)

static void bound_buffers(const int fds[2]) {
    int size = SOCKET_BUFFER;
    CHECK_EQUAL(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    CHECK_EQUAL(setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
}

int main(void) {
    rio_core *core = open_core();
    static char memory[LENGTH], got[1 << 16];
    rio_event event;
    int fds[2];
    uint64_t cq = new_cq(core, 4), buffer = register_memory(core, memory, LENGTH), total = 0;
    tcp_pair(fds);
    bound_buffers(fds);
    uint64_t rq = new_rq(core, fds[0], true, 2, cq, 0);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, LENGTH, 0, 1), 0);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, 2), 0); /* waits behind it */
    while (total < LENGTH / 4) {
        ssize_t taken = recv(fds[1], got, sizeof got, MSG_DONTWAIT);
        CHECK(taken > 0 || errno == EAGAIN);
        total += taken > 0 ? (uint64_t)taken : 0;
        rio_wait(core, 0, 0, &event, 1);
    }
    CHECK_EQUAL(rio_cancel(core, rq, 1), 0);
    CHECK_EQUAL(rio_cancel(core, rq, 2), 0);
    rio_result results[2];
    collect(core, cq, results, 2);
    CHECK(results[0].request_context + results[1].request_context == 3);
    rio_result *first = &results[results[0].request_context != 1], *second = &results[first == results];
    CHECK_EQUAL(first->status, ECANCELED);
    CHECK(first->bytes_transferred >= total && first->bytes_transferred < LENGTH);
    CHECK_EQUAL(second->status, ECANCELED);
    CHECK_EQUAL(second->bytes_transferred, 0);
    for (ssize_t taken; total < first->bytes_transferred; total += (uint64_t)taken)
        CHECK((taken = recv(fds[1], got, sizeof got, 0)) > 0);
    CHECK_EQUAL(total, first->bytes_transferred);

    /* The same when the part has gone already, and the core does not know it yet. */
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, LENGTH, 0, 3), 0);
    CHECK_EQUAL(rio_cancel(core, rq, 3), 0);
    rio_result last = collect_one(core, cq);
    CHECK_EQUAL(last.status, ECANCELED);
    CHECK(last.bytes_transferred > 0 && last.bytes_transferred < LENGTH);
    CHECK_EQUAL(shutdown(fds[0], SHUT_WR), 0);
    for (ssize_t taken; (taken = recv(fds[1], got, sizeof got, 0)) > 0;)
        total += (uint64_t)taken;
    CHECK_EQUAL(total, first->bytes_transferred + last.bytes_transferred);
    check_idle(core, cq);
    close_core(core);
    return 0;
}
