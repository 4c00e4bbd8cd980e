/* Requests survive an io_uring_enter that now and then fails for a moment: all complete, once. */
/* Link with: -Wl,--wrap=syscall */
#include "syscalls.h"

#define ROUNDS 400
#define SOCKETS 4

static uint64_t seed = 7;
static uint32_t one_in, failures; /* how often it fails: one call in so many; 0: never */

static int before_syscall(long number, const long *arguments) {
    static const int errors[] = {EINTR, EAGAIN, EBUSY, ENOMEM};
    (void)arguments;
    if (number != NR_ENTER || !one_in || random_below(&seed, one_in))
        return 0;
    failures++;
    return errors[random_below(&seed, 4)];
}

static void run(uint32_t entries, uint32_t one_in_) {
    static char memory[SOCKETS * 2];
    rio_core *core = open_core_with(entries, 0);
    uint64_t rqs[SOCKETS], cq = new_cq(core, 4 * SOCKETS), buffer = register_memory(core, memory, sizeof memory);
    int fds[SOCKETS][2];
    for (int s = 0; s < SOCKETS; s++) {
        stream_pair(fds[s]);
        rqs[s] = new_rq(core, fds[s][0], true, 2, cq, (uint64_t)s);
    }
    one_in = one_in_;
    for (int round = 0; round < ROUNDS; round++) {
        rio_result results[3 * SOCKETS];
        for (uint32_t s = 0; s < SOCKETS; s++) {
            uint32_t flags = round & 1 ? RIO_FLAG_DEFER : 0;
            CHECK_EQUAL(rio_receive(core, rqs[s], buffer, s, 1, flags, 0), 0);
            CHECK_EQUAL(rio_receive(core, rqs[s], buffer, s, 1, flags, 1), 0);
            CHECK_EQUAL(rio_send(core, rqs[s], buffer, s + SOCKETS, 1, flags, 2), 0);
            CHECK_EQUAL(write(fds[s][1], "x", 1), 1);
            rio_cancel(core, rqs[s], 1);
        }
        collect(core, cq, results, 3 * SOCKETS);
        for (int i = 0; i < 3 * SOCKETS; i++)
            CHECK_EQUAL(results[i].status, results[i].request_context == 1 ? ECANCELED : 0);
        for (int s = 0; s < SOCKETS; s++)
            CHECK_EQUAL(read(fds[s][1], memory, 2), 1);
    }
    one_in = 0;
    check_idle(core, cq);
    close_core(core);
    for (int s = 0; s < SOCKETS; s++) {
        close(fds[s][0]);
        close(fds[s][1]);
    }
}

int main(void) {
    run(64, 10);
    run(1, 3);
    printf("%u calls failed\n", failures);
    CHECK(failures > 100);
    return 0;
}
