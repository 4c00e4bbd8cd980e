/* MUST FAIL under AddressSanitizer: memory is freed while a receive is writing to it, and read when that has ended. */
#include "check.h"

int main(void) {
    rio_core *core = open_core();
    char *memory = malloc(64);
    int fds[2];
    uint64_t cq = new_cq(core, 2), buffer = register_memory(core, memory, 64);
    stream_pair(fds);
    uint64_t rq = new_rq(core, fds[0], true, 1, cq, 0);
    CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 64, 0, 0), 0);
    char *volatile freed = memory; /* volatile: the compiler must not see what it would complain about */
    free(memory);
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    CHECK_EQUAL(collect_one(core, cq).bytes_transferred, 1);
    printf("the late byte: %c\n", freed[0]);
    return 0;
}
