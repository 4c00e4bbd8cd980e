/* A wait lasts its full time or brings something: never 0 too early, no hang for times out of range. */
#include "check.h"

#include <signal.h>

static void nothing(int number) { (void)number; }

int main(void) {
    rio_core *core = open_core();
    rio_event event;
    uint64_t port;
    int64_t start = now_ns();
    CHECK_EQUAL(info_of(core).operations_in_kernel, 0);
    CHECK_EQUAL(rio_wait(core, 0, 0, &event, 1), 0);
    CHECK_EQUAL(info_of(core).operations_in_kernel, 0);
    for (int64_t time = 1; time < 30 * MS; time = time * 3 + 1) {
        start = now_ns();
        CHECK_EQUAL(rio_wait(core, 0, time, &event, 1), 0);
        CHECK(now_ns() - start >= time);
    }
    CHECK_EQUAL(rio_wait(core, 1, 0, &event, 1), -EINVAL);
    CHECK_EQUAL(rio_port_create(core, &port), 0);
    CHECK_EQUAL(rio_wait(core, port, MS, &event, 1), 0);

    /* A wake-up counts for the next wait, however many there were, and for no more than that. */
    for (int i = 0; i < 5; i++)
        CHECK_EQUAL(rio_wake(core, 0), 0);
    CHECK_EQUAL(rio_wait(core, 0, INT64_MAX, &event, 1), 1);
    CHECK_EQUAL(event.kind, RIO_EVENT_WAKE);
    CHECK_EQUAL(rio_wait(core, 0, MS, &event, 1), 0);
    CHECK_EQUAL(rio_wake(core, port), 0);
    CHECK_EQUAL(rio_wake(core, port + 1), RIO_E_INVAL);
    CHECK_EQUAL(rio_wait(core, 0, MS, &event, 1), 0); /* it is the other port's */
    CHECK_EQUAL(rio_wait(core, port, -1, &event, 1), 1);

    /* A signal ends a wait without an end. */
    struct sigaction action = {.sa_handler = nothing};
    struct itimerval soon = {.it_value.tv_usec = 20000};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_EQUAL(rio_wait(core, 0, -1, &event, 1), -EINTR);
    signal(SIGALRM, SIG_DFL);
    alarm(HANGS_AFTER_SECONDS);
    close_core(core);
    return 0;
}
