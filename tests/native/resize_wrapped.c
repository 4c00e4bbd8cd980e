/* A completion queue that grows while its results wrap around its end keeps all of them, in order. */
#include "check.h"

int main(void) {
    char memory[1] = {0};
    for (uint32_t taken = 0; taken < 16; taken++) {
        rio_core *core = open_core();
        rio_result results[64];
        uint64_t cq = new_cq(core, 1000), buffer = register_memory(core, memory, 1), posted = 0, seen = 0;
        int fds[2];
        stream_pair(fds);
        uint64_t rq = new_rq(core, fds[0], true, 8, cq, 0);
        for (uint32_t max = 8; max <= 256; max *= 2) {
            /* Move the first place on by `taken`, then fill up and grow. */
            for (uint32_t i = 0; i < taken % max; i++) {
                CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, posted++), 0);
                CHECK_EQUAL(collect_one(core, cq).request_context, seen++);
            }
            for (uint32_t i = 0; i < max && i < 8; i++)
                CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, posted++), 0);
            CHECK_EQUAL(rio_resize_request_queue(core, rq, max, 2 * max), 0);
            while (seen < posted) {
                collect(core, cq, results, 1);
                CHECK_EQUAL(results[0].request_context, seen++);
            }
        }
        CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
        check_idle(core, cq);
        close(fds[0]);
        close(fds[1]);
        close_core(core);
    }
    return 0;
}
