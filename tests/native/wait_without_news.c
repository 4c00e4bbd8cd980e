/* A wait that keeps seeing what is nobody's news returns with EINTR now and then, so that its caller sees signals. */
#include "check.h"

static rio_core *core;
static uint64_t port;
static bool is_over;

/* Each call makes the owner look, and brings it nothing. */
static void *disturb(void *argument) {
    (void)argument;
    while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE))
        CHECK_EQUAL(rio_commit_all(core), 0);
    return NULL;
}

static void wait_disturbed(uint64_t at) {
    rio_event event;
    pthread_t thread;
    is_over = false;
    pthread_create(&thread, NULL, disturb, NULL);
    CHECK_EQUAL(rio_wait(core, at, PATIENCE, &event, 1), -EINTR);
    __atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

int main(void) {
    core = open_core();
    CHECK_EQUAL(rio_port_create(core, &port), 0);
    wait_disturbed(0);
    wait_disturbed(port);
    close_core(core);
    return 0;
}
