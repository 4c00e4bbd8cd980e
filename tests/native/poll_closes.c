/* A readiness wait keeps no file open, and a new file under an old number is waited for as such. */
#include "check.h"

#include <poll.h>

static rio_core *core;

static bool is_readable(int fd) {
    struct pollfd polled = {fd, POLLIN, 0};
    return poll(&polled, 1, 0) == 1;
}

static void sees_nothing(void) {
    rio_event event;
    CHECK_EQUAL(rio_wait(core, 0, MS, &event, 1), 0);
}

static void sees(int64_t token, int32_t result) {
    rio_event event;
    CHECK_EQUAL(rio_wait(core, 0, PATIENCE, &event, 1), 1);
    CHECK_EQUAL(event.key, token);
    CHECK_EQUAL(event.result, result);
}

int main(void) {
    int first[2], second[2];
    core = open_core();
    /* Closed while it is waited for: the peer sees the end, whoever waits sees nothing. */
    stream_pair(first);
    int64_t token = rio_poll_add(core, first[0], POLLIN);
    sees_nothing();
    close(first[0]);
    CHECK(is_readable(first[1]));
    sees_nothing();
    CHECK_EQUAL(rio_poll_remove(core, (uint64_t)token), 0);
    /* The number belongs to another file now. */
    stream_pair(second);
    CHECK_EQUAL(second[0], first[0]);
    token = rio_poll_add(core, second[0], POLLIN);
    CHECK_EQUAL(write(second[1], "x", 1), 1);
    sees(token, POLLIN);
    close(first[1]);
    /* And again, while the file before lives on under a number of its own, and has something. */
    stream_pair(first);
    token = rio_poll_add(core, first[0], POLLIN);
    int kept = dup(first[0]);
    CHECK_EQUAL(dup2(second[0], first[0]), first[0]);
    CHECK_EQUAL(read(second[0], &(char){0}, 1), 1);
    CHECK_EQUAL(rio_poll_remove(core, (uint64_t)token), 0);
    token = rio_poll_add(core, first[0], POLLIN);
    CHECK_EQUAL(write(first[1], "x", 1), 1);
    sees_nothing();
    CHECK_EQUAL(write(second[1], "x", 1), 1);
    sees(token, POLLIN);
    /* A second wait at a number whose file was closed: both end with the error. */
    token = rio_poll_add(core, kept, POLLOUT);
    sees(token, POLLOUT);
    int64_t reader = rio_poll_add(core, second[1], POLLIN);
    close(second[1]);
    CHECK_EQUAL(rio_poll_add(core, second[1], POLLOUT), -EBADF);
    sees(reader, -EBADF);
    close_core(core);
    return 0;
}
