/* In a storm of readiness waits, each that stays ends once, and none that was removed is heard of again. */
#include "check.h"

#define PIPES 50u
#define ROUNDS 3000

static struct {
    int fds[2];
    int64_t tokens[2]; /* waiting for the pipe's reading end to be readable, its writing end to be writable */
} pipes[PIPES];

static void add(rio_core *core, uint32_t i, int side) {
    if (pipes[i].tokens[side])
        return;
    pipes[i].tokens[side] = rio_poll_add(core, pipes[i].fds[side], side ? POLLOUT : POLLIN);
    CHECK(pipes[i].tokens[side] > 0);
}

static void remove_one(rio_core *core, uint32_t i, int side) {
    CHECK_EQUAL(rio_poll_remove(core, (uint64_t)pipes[i].tokens[side]), 0); /* also 0, which is no token */
    pipes[i].tokens[side] = 0;
}

static void take(rio_core *core, int64_t timeout_ns) {
    rio_event events[7];
    int count = rio_wait(core, 0, timeout_ns, events, 7);
    CHECK(count >= 0 || count == -EINTR);
    for (int e = 0; e < count; e++) {
        bool is_known = false;
        CHECK_EQUAL(events[e].kind, RIO_EVENT_POLL);
        for (uint32_t i = 0; i < PIPES; i++)
            for (int side = 0; side < 2; side++)
                if (pipes[i].tokens[side] == (int64_t)events[e].key) {
                    CHECK_EQUAL(events[e].result, side ? POLLOUT : POLLIN);
                    pipes[i].tokens[side] = 0;
                    is_known = true;
                }
        CHECK(is_known);
    }
}

int main(void) {
    rio_core *core = open_core_with(4, 0);
    uint64_t seed = 3;
    for (uint32_t i = 0; i < PIPES; i++)
        CHECK_EQUAL(pipe(pipes[i].fds), 0);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t i = random_below(&seed, PIPES);
        int side = (int)random_below(&seed, 2);
        char byte = 0;
        switch (random_below(&seed, 8)) {
        case 0:
        case 1:
        case 2:
            add(core, i, side);
            break;
        case 3:
        case 4:
            remove_one(core, i, side);
            break;
        case 5:
            CHECK_EQUAL(write(pipes[i].fds[1], &byte, 1), 1);
            add(core, i, 0);
            break;
        case 6:
            take(core, 0);
            break;
        case 7: /* the number goes to another file */
            remove_one(core, i, 0);
            remove_one(core, i, 1);
            CHECK_EQUAL(rio_flush(core, 1), 0);
            close(pipes[i].fds[0]);
            close(pipes[i].fds[1]);
            CHECK_EQUAL(pipe(pipes[i].fds), 0);
            break;
        }
    }
    for (uint32_t i = 0; i < PIPES; i++) {
        CHECK_EQUAL(write(pipes[i].fds[1], "x", 1), 1);
        add(core, i, 0);
        add(core, i, 1);
    }
    for (uint32_t i = 0; i < PIPES; i++)
        while (pipes[i].tokens[0] || pipes[i].tokens[1])
            take(core, PATIENCE);
    for (uint32_t i = 0; i < PIPES; i++) /* all pipes have data: read it, so that nothing is ready by itself */
        for (char bytes[64]; read(pipes[i].fds[0], bytes, sizeof bytes) == sizeof bytes;)
            continue;
    take(core, 0);
    CHECK_EQUAL(info_of(core).operations_in_kernel, 0);
    close_core(core);
    return 0;
}
