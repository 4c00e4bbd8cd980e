/* A queue closed amid requests in every state completes each exactly once, and close(2) is then the socket's last. */
#include "check.h"

#define ROUNDS 2000
#define REQUESTS 6u

int main(void) {
    rio_core *core = open_core();
    rio_event event;
    static char memory[4096];
    uint64_t seed = 2, cq = new_cq(core, 2 * REQUESTS), buffer = register_memory(core, memory, sizeof memory);
    for (int round = 0; round < ROUNDS; round++) {
        int fds[2];
        rio_result results[2 * REQUESTS];
        bool seen[2 * REQUESTS] = {false};
        uint32_t posted = 0;
        tcp_pair(fds);
        uint64_t rq = new_rq(core, fds[0], true, REQUESTS, cq, (uint64_t)round);
        for (uint32_t i = 0; i < REQUESTS; i++) {
            uint32_t flags = random_below(&seed, 2) ? RIO_FLAG_DEFER : 0;
            CHECK_EQUAL(rio_receive(core, rq, buffer, 64 * i, 64, flags, posted++), 0);
            if (random_below(&seed, 2))
                CHECK_EQUAL(rio_send(core, rq, buffer, 2048, 1, flags, posted++), 0);
            if (random_below(&seed, 4) == 0)
                CHECK_EQUAL(write(fds[1], "data", 4), 4);
            if (random_below(&seed, 4) == 0)
                rio_wait(core, 0, 0, &event, 1);
            if (random_below(&seed, 4) == 0)
                rio_cancel(core, rq, random_below(&seed, posted));
        }
        CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
        close(fds[0]);
        /* The end is seen without any further call into the core: FIN, or RST if data was left unread. */
        struct pollfd peer = {fds[1], POLLRDHUP, 0};
        CHECK_EQUAL(poll(&peer, 1, 100), 1);
        close(fds[1]);
        CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 1, 0, 0), RIO_E_INVAL);
        collect(core, cq, results, posted);
        for (uint32_t i = 0; i < posted; i++) {
            CHECK_EQUAL(results[i].socket_context, round);
            CHECK(results[i].request_context < posted && !seen[results[i].request_context]);
            seen[results[i].request_context] = true;
        }
        check_idle(core, cq);
        CHECK_EQUAL(charged(core, cq), 0);
    }
    close_core(core);
    return 0;
}
