/* 2,000 requests that complete while the completion ring has eight places are all dequeued, none twice. */
#include "check.h"

#define PAIRS 1000u

int main(void) {
    need_descriptors(2 * PAIRS + 100);
    rio_core *core = open_core_with(1, 0);
    static char memory[2 * PAIRS];
    static int fds[PAIRS][2];
    static uint8_t seen[2 * PAIRS];
    static rio_result results[2 * PAIRS];
    uint64_t cq = new_cq(core, 2 * PAIRS), buffer = register_memory(core, memory, sizeof memory);
    CHECK_EQUAL(info_of(core).cq_entries, 8);
    for (uint32_t i = 0; i < PAIRS; i++) {
        stream_pair(fds[i]);
        uint64_t rq = new_rq(core, fds[i][0], true, 1, cq, i);
        CHECK_EQUAL(rio_receive(core, rq, buffer, i, 1, RIO_FLAG_DEFER, i), 0);
        CHECK_EQUAL(rio_send(core, rq, buffer, PAIRS + i, 1, RIO_FLAG_DEFER, PAIRS + i), 0);
    }
    CHECK_EQUAL(rio_commit_all(core), 0);
    for (uint32_t i = 0; i < PAIRS; i++) {
        char byte = (char)i;
        CHECK_EQUAL(write(fds[i][1], &byte, 1), 1);
    }
    collect(core, cq, results, 2 * PAIRS);
    for (uint32_t i = 0; i < 2 * PAIRS; i++) {
        uint64_t context = results[i].request_context;
        CHECK_EQUAL(results[i].status, 0);
        CHECK_EQUAL(results[i].bytes_transferred, 1);
        CHECK_EQUAL(results[i].socket_context, context % PAIRS);
        CHECK_EQUAL(seen[context]++, 0);
    }
    for (uint32_t i = 0; i < PAIRS; i++)
        CHECK_EQUAL(memory[i], (char)i);
    check_idle(core, cq);
    CHECK_EQUAL(info_of(core).overflows, 0);
    close_core(core);
    return 0;
}
