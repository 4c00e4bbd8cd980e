/* One wake-up brings all datagrams that have come, and one call sends many; in order, each with its own address. */
#include "check.h"

#define COUNT 150u /* more than two system calls carry */
#define STRIDE 64u
#define ADDRESS_STRIDE 32u
#define ADDRESSES (COUNT * STRIDE)
#define INET_SIZE 28u

static char memory[COUNT * (STRIDE + ADDRESS_STRIDE)];

struct world {
    rio_core *core;
    uint64_t cq, rq, buffer;
    int fd, peers[2];
};

static void send_to_us(struct world *w, uint32_t number) {
    struct sockaddr_storage address;
    socklen_t size;
    char data[STRIDE];
    memset(data, (int)number, sizeof data);
    address_of(w->fd, &address, &size);
    CHECK_EQUAL(sendto(w->peers[number % 2], data, number % STRIDE, 0, (struct sockaddr *)&address, size),
                number % STRIDE);
}

static void check_datagram(struct world *w, const rio_result *result, uint32_t number) {
    struct sockaddr_storage address;
    socklen_t size;
    CHECK_EQUAL(result->status, 0);
    CHECK_EQUAL(result->request_context, 1000 + number);
    CHECK_EQUAL(result->bytes_transferred, number % STRIDE);
    for (uint32_t i = 0; i < STRIDE; i++)
        CHECK_EQUAL((unsigned char)memory[number * STRIDE + i], i < number % STRIDE ? number : 0);
    address_of(w->peers[number % 2], &address, &size);
    CHECK_EQUAL(memcmp(memory + ADDRESSES + number * ADDRESS_STRIDE, &address, size), 0);
}

/* The first comes to a receive that waits in the ring, the others are there when it does. */
static void check_receives(struct world *w, uint32_t flags) {
    rio_result results[COUNT];
    rio_event events[2];
    memset(memory, 0, sizeof memory);
    CHECK_EQUAL(rio_receive_many(w->core, w->rq, w->buffer, 0, STRIDE, STRIDE, ADDRESSES, ADDRESS_STRIDE, COUNT, flags,
                                 1000),
                COUNT);
    CHECK_EQUAL(rio_wait(w->core, 0, 0, events, 2), 0);
    CHECK_EQUAL(info_of(w->core).operations_in_kernel, 1);
    CHECK_EQUAL(rio_notify(w->core, w->cq), 0);
    for (uint32_t i = 0; i < COUNT; i++)
        send_to_us(w, i);
    CHECK_EQUAL(rio_wait(w->core, 0, PATIENCE, events, 2), 1);
    CHECK_EQUAL(events[0].kind, RIO_EVENT_PACKET);
    CHECK_EQUAL(rio_dequeue(w->core, w->cq, results, COUNT), COUNT);
    for (uint32_t i = 0; i < COUNT; i++)
        check_datagram(w, &results[i], i);
    check_idle(w->core, w->cq);
}

static void check_sends(struct world *w, uint32_t flags) {
    struct sockaddr_storage address;
    socklen_t size;
    rio_event events[2];
    rio_result results[COUNT];
    uint32_t lengths[COUNT], offset = 0;
    char got[STRIDE];
    for (uint32_t i = 0; i < COUNT; i++) {
        lengths[i] = i % STRIDE;
        memset(memory + offset, (int)i, lengths[i]);
        offset += lengths[i];
        address_of(w->peers[i % 2], &address, &size);
        memcpy(memory + ADDRESSES + i * INET_SIZE, &address, size);
    }
    uint64_t submissions = info_of(w->core).submissions;
    CHECK_EQUAL(rio_send_many(w->core, w->rq, w->buffer, 0, lengths, 1, ADDRESSES, COUNT, flags, 7), COUNT);
    if (flags & RIO_FLAG_DEFER)
        CHECK(rio_wait(w->core, 0, 0, events, 2) >= 0);
    CHECK_EQUAL(info_of(w->core).submissions, submissions); /* none of them had to wait */
    CHECK_EQUAL(rio_dequeue(w->core, w->cq, results, COUNT), COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK_EQUAL(results[i].status, 0);
        CHECK_EQUAL(results[i].request_context, 7 + i);
        CHECK_EQUAL(results[i].bytes_transferred, lengths[i]);
        CHECK_EQUAL(recv(w->peers[i % 2], got, sizeof got, MSG_DONTWAIT), lengths[i]);
        CHECK(lengths[i] == 0 || got[0] == (char)i);
    }
    check_idle(w->core, w->cq);
}

static void check_limits(struct world *w) {
    uint32_t lengths[2] = {1, sizeof memory};
    rio_result results[COUNT + 1];
    CHECK_EQUAL(rio_receive_many(w->core, w->rq, w->buffer, 0, 0, 1, ADDRESSES, 0, COUNT + 1, 0, 0), COUNT);
    CHECK_EQUAL(rio_receive_many(w->core, w->rq, w->buffer, 0, 0, 1, ADDRESSES, 0, 1, 0, 0), -RIO_E_NOBUFS);
    CHECK_EQUAL(rio_send_many(w->core, w->rq, w->buffer, 1, lengths, 0, 0, 2, RIO_FLAG_DEFER, 0), 1);
    CHECK_EQUAL(rio_send_many(w->core, w->rq, w->buffer, 1, lengths + 1, 0, 0, 1, 0, 0), -RIO_E_INVAL);
    CHECK_EQUAL(rio_send_many(w->core, w->rq + 1, w->buffer, 1, lengths, 0, 0, 1, 0, 0), -RIO_E_INVAL);
    CHECK_EQUAL(rio_close_request_queue(w->core, w->rq), 0);
    collect(w->core, w->cq, results, COUNT + 1);
    for (uint32_t i = 0; i <= COUNT; i++)
        CHECK_EQUAL(results[i].status, ECANCELED);
    CHECK_EQUAL(rio_buffer_uses(w->core, w->buffer), 0);
}

static void run(int family) {
    struct world w = {.core = open_core(), .fd = bound(family, SOCK_DGRAM)};
    int room = 1 << 20;
    for (int i = 0; i < 2; i++)
        w.peers[i] = bound(family, SOCK_DGRAM);
    CHECK_EQUAL(setsockopt(w.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    w.cq = new_cq_with(w.core, 2 * COUNT, PORT, 5);
    w.rq = new_rq(w.core, w.fd, false, COUNT, w.cq, 0);
    w.buffer = register_memory(w.core, memory, sizeof memory);
    check_receives(&w, 0);
    check_receives(&w, RIO_FLAG_DEFER);
    check_sends(&w, 0);
    check_sends(&w, RIO_FLAG_DEFER);
    check_limits(&w);
    close_core(w.core);
    close(w.fd);
    close(w.peers[0]);
    close(w.peers[1]);
}

int main(void) {
    run(AF_INET);
    run(AF_INET6);
    return 0;
}
