/* Closing a core with requests in every state waits for the kernel to let go: the memory can be freed at once. */
#include "check.h"

#define ROUNDS 300
#define PAIRS 8

static int open_descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 1000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void run(uint64_t *seed) {
    static char full[1 << 16];
    rio_core *core = open_core_with(1 + random_below(seed, 8), 0);
    char *memory = malloc(1 << 20);
    rio_event event;
    int fds[PAIRS][2];
    uint64_t rqs[PAIRS], cq = new_cq(core, PAIRS * 8), buffer = register_memory(core, memory, 1 << 20);
    memset(memory, 0, 1 << 20);
    for (int i = 0; i < PAIRS; i++) {
        stream_pair(fds[i]);
        while (send(fds[i][0], full, sizeof full, MSG_DONTWAIT) > 0)
            continue;
        rqs[i] = new_rq(core, fds[i][0], true, 4, cq, (uint64_t)i);
        rio_poll_add(core, fds[i][1], POLLIN | POLLOUT);
        for (uint64_t r = 0; r < 4; r++) {
            uint32_t flags = random_below(seed, 2) ? RIO_FLAG_DEFER : 0;
            CHECK_EQUAL(rio_receive(core, rqs[i], buffer, 100, 100, flags, r), 0);
            CHECK_EQUAL(rio_send(core, rqs[i], buffer, 1000, 1 << 19, flags, r + 4), 0);
        }
        if (random_below(seed, 3) == 0)
            rio_wait(core, 0, 0, &event, 1);
        if (random_below(seed, 3) == 0)
            rio_cancel(core, rqs[i], random_below(seed, 8));
        if (random_below(seed, 4) == 0)
            rio_close_request_queue(core, rqs[i]);
    }
    close_core(core);
    memset(memory, 'x', 1 << 20);
    for (int i = 0; i < PAIRS; i++)
        CHECK_EQUAL(send(fds[i][1], "late", 4, MSG_DONTWAIT), 4);
    for (int i = 0; i < 1 << 20; i++)
        CHECK_EQUAL(memory[i], 'x');
    free(memory);
    for (int i = 0; i < PAIRS; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

int main(void) {
    uint64_t seed = 6;
    int before = open_descriptors();
    for (int round = 0; round < ROUNDS; round++)
        run(&seed);
    CHECK_EQUAL(open_descriptors(), before);
    return 0;
}
