/* A request of a closed queue that the kernel has not taken yet never touches the socket that gets its number next. */
/* Link with: -Wl,--wrap=syscall */
#include "syscalls.h"

#define HELD_BACK_MAX (200 * MS) /* one that closes may wait for it, so it must end */

static rio_core *core;
static uint64_t cq, rq;
static int fds[2];
static char memory[16];
static bool fails, holds_back, is_held_back, is_released;

static bool load(bool *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }
static void store(bool *flag, bool value) { __atomic_store_n(flag, value, __ATOMIC_RELEASE); }

static void hold_back(void) {
    int64_t end = now_ns() + HELD_BACK_MAX;
    store(&holds_back, false);
    store(&is_held_back, true);
    while (!load(&is_released) && now_ns() < end)
        sched_yield();
}

static int before_syscall(long number, const long *arguments) {
    if (number == NR_ENTER && fails)
        return EAGAIN;
    if (number == NR_ENTER && arguments[1] && load(&holds_back))
        hold_back();
    return 0;
}

static void post(void) {
    core = open_core();
    cq = new_cq_with(core, 4, PORT, 1);
    stream_pair(fds);
    rq = new_rq(core, fds[0], true, 2, cq, 0);
    uint64_t buffer = register_memory(core, memory, sizeof memory);
    CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 8, RIO_FLAG_DEFER, 1), 0);
    CHECK_EQUAL(rio_receive(core, rq, buffer, 8, 8, RIO_FLAG_DEFER, 2), 0);
    CHECK_EQUAL(rio_notify(core, cq), 0);
}

/* Closes the queue and its socket, whose number the first of a new pair gets. */
static void close_and_use_again(int fresh[2]) {
    CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
    close(fds[0]);
    stream_pair(fresh);
    CHECK_EQUAL(fresh[0], fds[0]);
    CHECK_EQUAL(write(fresh[1], "precious", 8), 8);
}

static void check_untouched(const int fresh[2]) {
    char got[16];
    rio_result results[2];
    collect(core, cq, results, 2);
    CHECK_EQUAL(results[0].status, ECANCELED);
    CHECK_EQUAL(results[1].status, ECANCELED);
    CHECK_EQUAL(recv(fresh[0], got, sizeof got, MSG_DONTWAIT), 8);
    check_idle(core, cq);
    close_core(core);
    close(fds[1]);
    close(fresh[0]);
    close(fresh[1]);
}

static void close_in_the_owner(void) {
    int fresh[2];
    post();
    fails = true; /* as if there were no memory for requests */
    rio_commit(core, rq);
    close_and_use_again(fresh);
    fails = false;
    check_untouched(fresh);
}

static void *close_meanwhile(void *fresh) {
    while (!load(&is_held_back))
        sched_yield();
    close_and_use_again(fresh);
    store(&is_released, true);
    return NULL;
}

/* The owner is on its way into the kernel with the request when another thread closes. */
static void close_elsewhere(void) {
    int fresh[2];
    pthread_t thread;
    rio_event event;
    post();
    store(&holds_back, true);
    pthread_create(&thread, NULL, close_meanwhile, fresh);
    CHECK_EQUAL(rio_wait(core, 0, PATIENCE, &event, 1), 1);
    pthread_join(thread, NULL);
    check_untouched(fresh);
}

int main(void) {
    close_in_the_owner();
    close_elsewhere();
    return 0;
}
