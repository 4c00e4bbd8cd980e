/* Whichever allocation fails, the call that needed it says so, the state is as before, and the next call works. */
/* Link with: -Wl,--wrap=calloc -Wl,--wrap=realloc */
#include "check.h"

static int fail_in = -1; /* allocations that still succeed; -1: all do */
static bool has_failed;

void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);

static bool fails(void) {
    if (fail_in < 0 || fail_in-- > 0)
        return false;
    has_failed = true;
    return true;
}

void *__wrap_calloc(size_t count, size_t size) { return fails() ? NULL : __real_calloc(count, size); }
void *__wrap_realloc(void *memory, size_t size) { return fails() ? NULL : __real_realloc(memory, size); }

/* With an allocation that fails, a call must answer the code for that; without one, 0. */
#define EXPECT(call, code)                                                                                      \
    do {                                                                                                        \
        has_failed = false;                                                                                     \
        long long answer = (call);                                                                              \
        CHECK_EQUAL(answer, has_failed ? (code) : 0);                                                           \
        if (answer) {                                                                                           \
            fail_in = -1;                                                                                       \
            CHECK_EQUAL(call, 0);                                                                               \
        }                                                                                                       \
    } while (0)

static int64_t failed_poll(int64_t token) { return token > 0 ? 0 : token; }

static bool run(int nth) {
    static char memory[200];
    rio_core *core;
    const char *step;
    uint64_t cq, buffer, rq[70];
    uint64_t port;
    int fds[2];
    stream_pair(fds);
    fail_in = nth;
    EXPECT(rio_core_open(&core, 8, 0, &step), -ENOMEM);
    EXPECT(rio_port_create(core, &port), RIO_E_NOBUFS);
    for (int i = 0; i < 70; i++) { /* more than a block */
        EXPECT(rio_create_completion_queue(core, 300, POLLED, -1, 0, 0, 0, &cq), RIO_E_NOBUFS);
        EXPECT(rio_register_buffer(core, memory, sizeof memory, 0, &buffer), RIO_E_NOBUFS);
    }
    for (int i = 0; i < 70; i++)
        EXPECT(rio_create_request_queue(core, fds[0], 1, 1, 1, cq, cq, 0, &rq[i]), RIO_E_NOBUFS);
    EXPECT(rio_resize_request_queue(core, rq[0], 80, 80), RIO_E_NOBUFS);
    for (uint64_t i = 0; i < 80; i++)
        EXPECT(rio_receive(core, rq[0], buffer, 0, 1, 0, i), RIO_E_NOBUFS);
    for (int i = 0; i < 70; i++)
        EXPECT(failed_poll(rio_poll_add(core, fds[1], POLLIN)), -ENOMEM);
    bool was_reached = fail_in < 0;
    fail_in = -1;
    CHECK_EQUAL(charged(core, cq), 160 + 69 * 2);
    CHECK_EQUAL(info_of(core).requests_outstanding, 80);
    CHECK_EQUAL(rio_close_request_queue(core, rq[0]), 0);
    rio_result results[80];
    collect(core, cq, results, 80);
    check_idle(core, cq);
    close_core(core);
    close(fds[0]);
    close(fds[1]);
    return was_reached;
}

int main(void) {
    rio_core_free(NULL);
    close_core(open_core()); /* or there is no ring here */
    int count = 0;
    while (run(count))
        count++;
    printf("%d allocations, each failed once\n", count);
    CHECK(count > 10);
    return 0;
}
