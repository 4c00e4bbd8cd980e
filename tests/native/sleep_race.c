/* What comes between the last look of the owner and its sleep wakes it, though another thread dequeues meanwhile. */
/* Link with: -Wl,--wrap=syscall */
#include "syscalls.h"

static rio_core *core;
static uint64_t cq, rq, buffer;
static int fds[2];
static void (*in_between)(void); /* runs once, in another thread, before the owner sleeps */

static void *run_other(void *argument) {
    ((void (*)(void))argument)();
    return NULL;
}

static int before_syscall(long number, const long *arguments) {
    bool will_sleep = (number == NR_ENTER && arguments[2] > 0) || number == NR_EPOLL_PWAIT2;
    if (will_sleep && in_between) {
        void (*function)(void) = in_between;
        pthread_t thread;
        in_between = NULL;
        pthread_create(&thread, NULL, run_other, (void *)function);
        pthread_join(thread, NULL);
    }
    return 0;
}

static void dequeue(void) {
    rio_result results[4];
    int64_t end = now_ns() + 20 * MS; /* long enough for the kernel to post what has come */
    while (now_ns() < end)
        CHECK(rio_dequeue(core, cq, results, 4) >= 0);
}

static void wake_and_dequeue(void) {
    CHECK_EQUAL(rio_wake(core, 0), 0);
    dequeue();
}

static void send_and_dequeue(void) {
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    dequeue();
}

static void post(void) { CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 1, 0, 0), 0); }

static void poll_and_write(void) {
    CHECK(rio_poll_add(core, fds[1], POLLOUT) > 0);
}

static void close_queue(void) { CHECK_EQUAL(rio_close_request_queue(core, rq), 0); }

static void check_wait(void (*function)(void), uint32_t kind) {
    rio_event event;
    rio_wait(core, 0, 0, &event, 1);
    in_between = function;
    CHECK_EQUAL(rio_wait(core, 0, PATIENCE, &event, 1), 1);
    CHECK_EQUAL(event.kind, kind);
    CHECK(!in_between);
}

int main(void) {
    char memory[1];
    rio_result results[4];
    core = open_core();
    cq = new_cq_with(core, 4, PORT, 1);
    buffer = register_memory(core, memory, 1);
    stream_pair(fds);
    rq = new_rq(core, fds[0], true, 2, cq, 0);
    for (int i = 0; i < 3; i++) {
        check_wait(wake_and_dequeue, RIO_EVENT_WAKE);
        CHECK_EQUAL(rio_notify(core, cq), 0);
        post();
        check_wait(send_and_dequeue, RIO_EVENT_PACKET);
        dequeue();
        CHECK_EQUAL(rio_notify(core, cq), 0);
        CHECK_EQUAL(write(fds[1], "x", 1), 1);
        check_wait(post, RIO_EVENT_PACKET);
        dequeue();
        check_wait(poll_and_write, RIO_EVENT_POLL);
    }
    CHECK_EQUAL(rio_notify(core, cq), 0);
    post();
    check_wait(close_queue, RIO_EVENT_PACKET);
    CHECK_EQUAL(rio_dequeue(core, cq, results, 4) & 0xffffffff, 1);
    check_idle(core, cq);
    close_core(core);
    return 0;
}
