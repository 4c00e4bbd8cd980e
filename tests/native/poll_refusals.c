/* A readiness wait answers like epoll: EBADF, EPERM for a regular file, and errors of the file as events. */
#include "check.h"

static uint32_t one_event(rio_core *core, int64_t token) {
    rio_event event;
    int count;
    do
        count = rio_wait(core, 0, PATIENCE, &event, 1);
    while (count == -EINTR);
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(event.key, token);
    return (uint32_t)event.result;
}

int main(void) {
    rio_core *core = open_core();
    int fds[2];
    FILE *file = tmpfile();
    CHECK_EQUAL(rio_poll_add(core, -1, POLLIN), -EBADF);
    CHECK_EQUAL(rio_poll_add(core, 9999, POLLIN), -EBADF);
    CHECK_EQUAL(rio_poll_add(core, fileno(file), POLLIN), -EPERM);
    CHECK_EQUAL(rio_poll_remove(core, 0), 0);
    CHECK_EQUAL(rio_poll_remove(core, UINT64_MAX), 0);
    CHECK_EQUAL(pipe(fds), 0);
    int64_t reader = rio_poll_add(core, fds[0], POLLIN);
    CHECK(reader > 0);
    rio_flush(core, 0);
    close(fds[1]);
    CHECK(one_event(core, reader) & POLLHUP);
    close(fds[0]);
    CHECK_EQUAL(rio_poll_add(core, fds[0], POLLIN), -EBADF);
    CHECK_EQUAL(info_of(core).operations_in_kernel, 0);
    close_core(core);
    return 0;
}
