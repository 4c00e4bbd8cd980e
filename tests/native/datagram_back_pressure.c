/* Sends of datagrams that find no room wait their turn: in order, each completes once, cancelled ones send nothing. */
#include "check.h"

#define COUNT 100u

static char memory[COUNT];

struct world {
    rio_core *core;
    uint64_t cq, rq, buffer;
    int fds[2];
};

static void open_world(struct world *w) {
    int least = 1;
    w->core = open_core();
    /* In this family a sender's buffer is charged until the receiver has taken the datagram [unix(7)]. */
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_DGRAM, 0, w->fds), 0);
    CHECK_EQUAL(setsockopt(w->fds[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
    w->cq = new_cq(w->core, 2 * COUNT);
    w->rq = new_rq(w->core, w->fds[0], false, COUNT, w->cq, 0);
    w->buffer = register_memory(w->core, memory, sizeof memory);
    for (uint32_t i = 0; i < COUNT; i++)
        memory[i] = (char)i;
}

static void post_all(struct world *w) {
    uint32_t lengths[COUNT];
    for (uint32_t i = 0; i < COUNT; i++)
        lengths[i] = 1;
    CHECK_EQUAL(rio_send_many(w->core, w->rq, w->buffer, 0, lengths, 0, 0, COUNT, 0, 0), COUNT);
    CHECK_EQUAL(info_of(w->core).operations_in_kernel, 1); /* the first that has to wait; the others are behind it */
}

static void close_world(struct world *w) {
    check_idle(w->core, w->cq);
    CHECK_EQUAL(rio_buffer_uses(w->core, w->buffer), 0);
    close_core(w->core);
    close(w->fds[0]);
    close(w->fds[1]);
}

/* Reads as long as something comes, while the ring goes on. */
static uint32_t read_all(struct world *w, unsigned char *got, rio_result *results, uint32_t *completed) {
    uint32_t received = 0;
    rio_event events[2];
    while (*completed < COUNT) {
        int64_t taken = rio_dequeue(w->core, w->cq, results + *completed, COUNT - *completed);
        CHECK(taken >= 0);
        *completed += (uint32_t)taken;
        while (recv(w->fds[1], got + received, 1, MSG_DONTWAIT) == 1)
            received++;
        CHECK(rio_wait(w->core, 0, MS, events, 2) >= 0);
    }
    while (recv(w->fds[1], got + received, 1, MSG_DONTWAIT) == 1)
        received++;
    return received;
}

static void check_order(void) {
    struct world w;
    rio_result results[COUNT];
    unsigned char got[COUNT + 1];
    uint32_t completed = 0;
    open_world(&w);
    post_all(&w);
    CHECK_EQUAL(read_all(&w, got, results, &completed), COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK_EQUAL(got[i], i);
        CHECK_EQUAL(results[i].request_context, i);
        CHECK_EQUAL(results[i].status, 0);
    }
    close_world(&w);
}

static void check_cancel(void) {
    struct world w;
    rio_result results[COUNT];
    unsigned char got[COUNT + 1];
    bool is_seen[COUNT] = {false};
    uint32_t completed = 0, sent = 0;
    open_world(&w);
    post_all(&w);
    for (uint32_t i = 0; i < COUNT; i += 2)
        CHECK_EQUAL(rio_cancel(w.core, w.rq, i), 0); /* also of some that are gone, and of the one in the kernel */
    uint32_t received = read_all(&w, got, results, &completed);
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK(!is_seen[results[i].request_context]);
        is_seen[results[i].request_context] = true;
        if (results[i].status)
            CHECK_EQUAL(results[i].status, ECANCELED);
        else
            CHECK_EQUAL(got[sent++], results[i].request_context);
    }
    CHECK_EQUAL(sent, received);
    CHECK(sent >= COUNT / 2 && sent < COUNT);
    close_world(&w);
}

static void check_close(void) {
    struct world w;
    rio_result results[COUNT];
    open_world(&w);
    post_all(&w);
    CHECK_EQUAL(rio_close_request_queue(w.core, w.rq), 0);
    collect(w.core, w.cq, results, COUNT);
    CHECK_EQUAL(results[0].status, 0);
    CHECK_EQUAL(results[COUNT - 1].status, ECANCELED);
    close_world(&w);
}

int main(void) {
    check_order();
    check_cancel();
    check_close();
    return 0;
}
