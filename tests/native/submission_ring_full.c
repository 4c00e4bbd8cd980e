/* With a submission ring of one or four entries, 1,000 posts on eight sockets all arrive, in the order of posting. */
#include "check.h"

#define SOCKETS 8u
#define EACH 125u

static void run(uint32_t entries) {
    rio_core *core = open_core_with(entries, 0);
    static uint32_t numbers[SOCKETS][EACH];
    static rio_result results[SOCKETS * EACH];
    uint32_t next[SOCKETS] = {0};
    uint64_t rqs[SOCKETS], cq = new_cq(core, 2 * SOCKETS * EACH);
    uint64_t buffer = register_memory(core, numbers, sizeof numbers);
    int fds[SOCKETS][2];
    CHECK_EQUAL(info_of(core).sq_entries, entries);
    for (uint32_t s = 0; s < SOCKETS; s++) {
        stream_pair(fds[s]);
        rqs[s] = new_rq(core, fds[s][0], true, EACH, cq, s);
    }
    for (uint32_t i = 0; i < EACH; i++)
        for (uint32_t s = 0; s < SOCKETS; s++) {
            uint32_t offset = (s * EACH + i) * (uint32_t)sizeof(uint32_t);
            numbers[s][i] = s << 16 | i;
            CHECK_EQUAL(rio_send(core, rqs[s], buffer, offset, sizeof(uint32_t), RIO_FLAG_DEFER, i), 0);
        }
    collect(core, cq, results, SOCKETS * EACH);
    for (uint32_t i = 0; i < SOCKETS * EACH; i++) {
        CHECK_EQUAL(results[i].status, 0);
        CHECK_EQUAL(results[i].request_context, next[results[i].socket_context]++);
    }
    for (uint32_t s = 0; s < SOCKETS; s++) {
        uint32_t got[EACH];
        CHECK_EQUAL(recv(fds[s][1], got, sizeof got, MSG_WAITALL), sizeof got);
        CHECK_EQUAL(memcmp(got, numbers[s], sizeof got), 0);
        close(fds[s][0]);
        close(fds[s][1]);
    }
    check_idle(core, cq);
    close_core(core);
}

int main(void) {
    run(1);
    run(4);
    return 0;
}
