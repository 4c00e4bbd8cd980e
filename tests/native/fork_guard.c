/* In a forked child every function says RIO_E_FORKED or does nothing, and the parent's requests go on undisturbed. */
#include "check.h"

#include <sys/mman.h>

static char memory[64];

struct handles {
    rio_core *core;
    uint64_t cq, rq, buffer;
};

#define CHECK_FORKED(call) CHECK_EQUAL(call, RIO_E_FORKED)

static void check_calls(struct handles *h) {
    rio_result result;
    rio_event event;
    rio_info info;
    uint64_t out;
    uint32_t a, b;
    rio_core *core = h->core;
    CHECK_FORKED(rio_core_is_usable(core));
    CHECK_FORKED(rio_core_info(core, &info));
    CHECK_FORKED(rio_register_buffer(core, memory, 1, 0, &out));
    CHECK_EQUAL(rio_deregister_buffer(core, h->buffer), -1);
    CHECK_EQUAL(rio_buffer_uses(core, h->buffer), 0);
    CHECK_FORKED(rio_create_completion_queue(core, 1, POLLED, -1, 0, 0, 0, &out));
    CHECK_FORKED(rio_resize_completion_queue(core, h->cq, 100));
    CHECK_FORKED(rio_close_completion_queue(core, h->cq));
    CHECK_FORKED(rio_completion_queue_usage(core, h->cq, &a, &b));
    CHECK_EQUAL(rio_dequeue(core, h->cq, &result, 1), -RIO_E_FORKED);
    CHECK_FORKED(rio_notify(core, h->cq));
    CHECK_FORKED(rio_create_request_queue(core, 0, 1, 1, 1, h->cq, h->cq, 0, &out));
    CHECK_FORKED(rio_resize_request_queue(core, h->rq, 2, 2));
    CHECK_FORKED(rio_receive(core, h->rq, h->buffer, 0, 1, 0, 0));
    CHECK_FORKED(rio_send(core, h->rq, h->buffer, 0, 1, 0, 0));
    CHECK_FORKED(rio_receive_from(core, h->rq, h->buffer, 0, 1, 0, 0, 0, 0));
    CHECK_FORKED(rio_send_to(core, h->rq, h->buffer, 0, 1, 0, 0, 0, 0));
    CHECK_FORKED(rio_commit(core, h->rq));
    CHECK_FORKED(rio_commit_all(core));
    CHECK_FORKED(rio_cancel(core, h->rq, 1));
    CHECK_FORKED(rio_close_request_queue(core, h->rq));
    CHECK_FORKED(rio_port_create(core, &out));
    CHECK_FORKED(rio_port_close(core, out));
    CHECK_EQUAL(rio_wait(core, 0, 0, &event, 1), -EBADF);
    CHECK_FORKED(rio_wake(core, 0));
    CHECK_EQUAL(rio_poll_add(core, 0, POLLIN), -EBADF);
    CHECK_FORKED(rio_poll_remove(core, 1));
    CHECK_FORKED(rio_flush(core, 0));
}

/* The child maps memory, which may land where the parent has its ring, then lets go of its copy of the core. */
static void child(struct handles *h) {
    enum { PIECES = 64 };
    char *pieces[PIECES];
    check_calls(h);
    for (int i = 0; i < PIECES; i++) {
        pieces[i] = mmap(NULL, 4096 << i % 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(pieces[i] != MAP_FAILED);
    }
    CHECK_EQUAL(rio_core_close(h->core, PATIENCE), 0);
    int fds[2];
    CHECK_EQUAL(pipe(fds), 0); /* takes numbers that were the core's */
    CHECK_EQUAL(rio_core_close(h->core, PATIENCE), 0);
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    for (int i = 0; i < PIECES; i++)
        memset(pieces[i], 1, 4096); /* a crash, if it was unmapped with the ring */
    CHECK_FORKED(rio_core_is_usable(h->core));
    rio_core_free(h->core);
    exit(0);
}

int main(void) {
    struct handles h = {.core = open_core()};
    int fds[2], status;
    h.cq = new_cq(h.core, 8);
    h.buffer = register_memory(h.core, memory, sizeof memory);
    stream_pair(fds);
    h.rq = new_rq(h.core, fds[0], true, 2, h.cq, 0);
    CHECK_EQUAL(rio_receive(h.core, h.rq, h.buffer, 0, 8, 0, 1), 0);
    CHECK_EQUAL(rio_receive(h.core, h.rq, h.buffer, 8, 8, RIO_FLAG_DEFER, 2), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        child(&h);
    CHECK_EQUAL(waitpid(pid, &status, 0), pid);
    CHECK_EQUAL(status, 0);
    CHECK_EQUAL(rio_core_is_usable(h.core), 0);
    for (uint64_t context = 1; context <= 2; context++) {
        CHECK_EQUAL(write(fds[1], "hello", 5), 5);
        rio_result result = collect_one(h.core, h.cq);
        CHECK_EQUAL(result.status, 0);
        CHECK_EQUAL(result.request_context, context);
        CHECK_EQUAL(result.bytes_transferred, 5);
    }
    check_idle(h.core, h.cq);
    close_core(h.core);
    return 0;
}
