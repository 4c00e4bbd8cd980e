/* A wait for writability of a full socket whose peer has shut down sending ends when it is writable, not before. */
#include "check.h"

#define SOCKETS 40 /* more than are taken from epoll at once */

static int fds[SOCKETS][2];

static void fill_up(int fd) {
    static char data[65536];
    while (send(fd, data, sizeof data, MSG_DONTWAIT) > 0)
        continue;
    CHECK_EQUAL(errno, EAGAIN);
}

static void empty(int fd) {
    static char data[1 << 20];
    while (recv(fd, data, sizeof data, MSG_DONTWAIT) > 0)
        continue;
}

int main(void) {
    rio_core *core = open_core();
    rio_event events[SOCKETS];
    int64_t tokens[SOCKETS];
    for (int i = 0; i < SOCKETS; i++) {
        tcp_pair(fds[i]);
        fill_up(fds[i][0]);
        CHECK_EQUAL(shutdown(fds[i][1], SHUT_WR), 0);
        tokens[i] = rio_poll_add(core, fds[i][0], POLLOUT);
        CHECK(tokens[i] > 0);
    }
    /* No event, and no spinning while it waits. */
    int64_t end = now_ns() + 50 * MS;
    while (now_ns() < end)
        CHECK(rio_wait(core, 0, end - now_ns() > 0 ? end - now_ns() : 0, events, SOCKETS) <= 0);
    CHECK(info_of(core).enters < 50);
    /* Every third is removed: its event does not come. One is removed and asked for again. */
    for (int i = 0; i < SOCKETS; i += 3) {
        CHECK_EQUAL(rio_poll_remove(core, (uint64_t)tokens[i]), 0);
        tokens[i] = 0;
    }
    tokens[0] = rio_poll_add(core, fds[0][0], POLLOUT);
    for (int i = 0; i < SOCKETS; i++)
        empty(fds[i][1]);
    int left = 0;
    for (int i = 0; i < SOCKETS; i++)
        left += tokens[i] != 0;
    while (left) {
        int count = rio_wait(core, 0, PATIENCE, events, SOCKETS);
        CHECK(count > 0 || count == -EINTR);
        for (int e = 0; e < count; e++, left--) {
            int i = 0;
            while (i < SOCKETS && tokens[i] != (int64_t)events[e].key)
                i++;
            CHECK(i < SOCKETS);
            CHECK(events[e].result & POLLOUT);
            tokens[i] = 0;
        }
    }
    CHECK_EQUAL(rio_wait(core, 0, 20 * MS, events, SOCKETS), 0);
    CHECK_EQUAL(info_of(core).operations_in_kernel, 0);
    close_core(core);
    return 0;
}
