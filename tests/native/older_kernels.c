/* Traffic passes and cancelling works with each set of setup flags that an older kernel leaves. */
#include "check.h"

static void run(uint32_t withhold) {
    rio_core *core = open_core_with(8, withhold);
    rio_event event;
    char memory[200] = {0};
    int fds[2];
    uint64_t cq = new_cq_with(core, 8, PORT, 5), buffer = register_memory(core, memory, sizeof memory);
    CHECK_EQUAL(info_of(core).setup_flags & withhold, 0);
    tcp_pair(fds);
    uint64_t rq = new_rq(core, fds[0], true, 4, cq, 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQUAL(rio_notify(core, cq), 0);
        CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 100, 0, 1), 0);
        CHECK_EQUAL(rio_receive(core, rq, buffer, 100, 100, 0, 2), 0);
        CHECK_EQUAL(write(fds[1], "hello", 5), 5);
        CHECK_EQUAL(rio_wait(core, 0, PATIENCE, &event, 1), 1);
        rio_result result = collect_one(core, cq);
        CHECK_EQUAL(result.request_context, 1);
        CHECK_EQUAL(result.bytes_transferred, 5);
        CHECK_EQUAL(rio_cancel(core, rq, 2), 0);
        CHECK_EQUAL(collect_one(core, cq).status, ECANCELED);
    }
    int64_t token = rio_poll_add(core, fds[0], POLLIN);
    CHECK(token > 0);
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    CHECK_EQUAL(rio_wait(core, 0, PATIENCE, &event, 1), 1);
    CHECK_EQUAL(event.key, token);
    check_idle(core, cq);
    close_core(core);
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
    run(0);
    run(1u << 8 | 1u << 9);           /* COOP_TASKRUN, TASKRUN_FLAG: before 5.19 */
    run(1u << 7 | 1u << 8 | 1u << 9); /* SUBMIT_ALL as well: before 5.18 */
    return 0;
}
