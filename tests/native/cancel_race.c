/* In 10,000 races of a cancellation against data, each receive is finished or cancelled: never both, never neither. */
#include "check.h"

#define ROUNDS 10000

/* A byte reported as received is gone from the socket; one of a cancelled receive is still there. */
static void check_round(int fd, const rio_result *result, const char *memory, char sent, bool *was_received) {
    char left = 0;
    ssize_t there = recv(fd, &left, 1, MSG_DONTWAIT);
    *was_received = result->status == 0;
    if (*was_received) {
        CHECK_EQUAL(result->bytes_transferred, 1);
        CHECK_EQUAL(memory[0], sent);
        CHECK_EQUAL(there, -1);
    } else {
        CHECK_EQUAL(result->status, ECANCELED);
        CHECK_EQUAL(result->bytes_transferred, 0);
        CHECK_EQUAL(there, 1);
        CHECK_EQUAL(left, sent);
    }
}

int main(void) {
    rio_core *core = open_core();
    rio_event event;
    int fds[2], received = 0, cancelled = 0;
    char memory[8];
    uint64_t seed = 1, cq = new_cq(core, 4), buffer = register_memory(core, memory, sizeof memory);
    stream_pair(fds);
    uint64_t rq = new_rq(core, fds[0], true, 2, cq, 7);
    for (int round = 0; round < ROUNDS; round++) {
        char sent = (char)round;
        uint32_t order = random_below(&seed, 4);
        bool was_received;
        memory[0] = (char)~sent;
        CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 1, order & 1 ? RIO_FLAG_DEFER : 0, (uint64_t)round), 0);
        if (order & 2)
            rio_cancel(core, rq, (uint64_t)round);
        CHECK_EQUAL(write(fds[1], &sent, 1), 1);
        if (random_below(&seed, 3) == 0)
            rio_wait(core, 0, 0, &event, 1);
        rio_cancel(core, rq, (uint64_t)round);
        rio_result result = collect_one(core, cq);
        CHECK_EQUAL(result.request_context, round);
        CHECK_EQUAL(result.socket_context, 7);
        check_round(fds[0], &result, memory, sent, &was_received);
        received += was_received;
        cancelled += !was_received;
    }
    check_idle(core, cq);
    CHECK(received > ROUNDS / 100 && cancelled > ROUNDS / 100); /* it was a race */
    printf("%d received, %d cancelled\n", received, cancelled);
    close_core(core);
    return 0;
}
