/* A queue sets its event once for each notify, ends a wait at the event's port, and touches it no more once closed. */
#include "check.h"

#include <sys/eventfd.h>

static uint64_t value_of(int event_fd) {
    uint64_t value = 0;
    return read(event_fd, &value, sizeof value) == sizeof value ? value : 0;
}

int main(void) {
    rio_core *core = open_core();
    char memory[8] = {0};
    rio_event event;
    uint64_t port;
    int fds[2], event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t cq, buffer = register_memory(core, memory, 8);
    CHECK_EQUAL(rio_port_create(core, &port), 0);
    CHECK_EQUAL(rio_create_completion_queue(core, 4, EVENT, event_fd, 1, port, 0, &cq), 0);
    stream_pair(fds);
    uint64_t rq = new_rq(core, fds[0], true, 2, cq, 0);
    CHECK_EQUAL(rio_notify(core, cq), 0);
    CHECK_EQUAL(rio_notify(core, cq), RIO_E_ALREADY);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, RIO_FLAG_DONT_NOTIFY, 0), 0);
    CHECK_EQUAL(value_of(event_fd), 0);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, 1), 0);
    collect_one(core, cq);
    collect_one(core, cq);
    CHECK_EQUAL(value_of(event_fd), 1);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, 2), 0);
    collect_one(core, cq);
    CHECK_EQUAL(value_of(event_fd), 0);

    CHECK_EQUAL(rio_wait(core, port, PATIENCE, &event, 1), 1); /* of the one before */
    CHECK_EQUAL(rio_notify(core, cq), 0);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, 3), 0);
    CHECK_EQUAL(rio_wait(core, port, PATIENCE, &event, 1), 1);
    CHECK_EQUAL(event.kind, RIO_EVENT_WAKE);
    CHECK_EQUAL(value_of(event_fd), 1);
    collect_one(core, cq);

    CHECK_EQUAL(rio_notify(core, cq), 0);
    CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 1, 0, 4), 0);
    CHECK_EQUAL(rio_close_completion_queue(core, cq), 0);
    CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
    CHECK_EQUAL(rio_wait(core, 0, MS, &event, 1), 0);
    CHECK_EQUAL(value_of(event_fd), 0);
    CHECK_EQUAL(info_of(core).requests_outstanding, 0);
    close_core(core);
    return 0;
}
