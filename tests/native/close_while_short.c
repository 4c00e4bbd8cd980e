/* Who closes a core when the kernel has no memory for requests waits for nothing that cannot end. */
/* Link with: -Wl,--wrap=syscall */
#include "syscalls.h"

static bool fails;
static char memory[16];

static int before_syscall(long number, const long *arguments) {
    return number == NR_ENTER && arguments[1] && fails ? ENOMEM : 0; /* it takes nothing, but waits may be made */
}

static void *close_it(void *core) {
    CHECK_EQUAL(rio_core_close(core, PATIENCE), 0); /* nothing is held: the time was not over */
    return NULL;
}

static void close_with_two(bool is_elsewhere) {
    int fds[2];
    pthread_t thread;
    rio_core *core = open_core();
    uint64_t cq = new_cq(core, 8);
    stream_pair(fds);
    uint64_t taken = new_rq(core, fds[0], true, 2, cq, 0);
    uint64_t refused = new_rq(core, fds[1], true, 2, cq, 0);
    uint64_t buffer = register_memory(core, memory, sizeof memory);
    CHECK_EQUAL(rio_receive(core, taken, buffer, 0, 8, 0, 1), 0);
    CHECK_EQUAL(rio_flush(core, 0), 0);
    CHECK_EQUAL(info_of(core).operations_in_kernel, 1);
    fails = true;
    CHECK_EQUAL(rio_receive(core, refused, buffer, 8, 8, RIO_FLAG_DEFER, 2), 0);
    CHECK_EQUAL(rio_flush(core, 0), -ENOMEM);
    if (is_elsewhere) {
        pthread_create(&thread, NULL, close_it, core);
        pthread_join(thread, NULL);
    } else {
        close_it(core);
    }
    fails = false;
    rio_core_free(core);
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
    close_with_two(true);
    close_with_two(false);
    return 0;
}
