/* Datagrams keep their limits and addresses, IPv4 and IPv6; one longer than its slice is reported as such. */
#include "check.h"

#define ADDRESS_AT 1001u /* odd on purpose: no alignment is asked for */
#define INET_SIZE 28u

static char memory[2048];

struct world {
    rio_core *core;
    uint64_t cq, rq, buffer;
    int fd, peer;
};

static void check_result(struct world *w, int32_t status, uint32_t bytes) {
    rio_result result = collect_one(w->core, w->cq);
    CHECK_EQUAL(result.status, status);
    CHECK_EQUAL(result.bytes_transferred, bytes);
}

static void send_to_us(struct world *w, size_t length) {
    struct sockaddr_storage address;
    socklen_t size;
    char data[100];
    memset(data, 'd', sizeof data);
    address_of(w->fd, &address, &size);
    CHECK_EQUAL(sendto(w->peer, data, length, 0, (struct sockaddr *)&address, size), (ssize_t)length);
}

static void receive(struct world *w, uint32_t length, bool with_address) {
    uint64_t data = length ? w->buffer : 0;
    memset(memory, 0, sizeof memory);
    int error = with_address ? rio_receive_from(w->core, w->rq, data, 0, length, w->buffer, ADDRESS_AT, 0, 0)
                             : rio_receive(w->core, w->rq, data, 0, length, 0, 0);
    CHECK_EQUAL(error, 0);
}

static void check_sender(struct world *w) {
    struct sockaddr_storage address;
    socklen_t size;
    address_of(w->peer, &address, &size);
    CHECK_EQUAL(memcmp(memory + ADDRESS_AT, &address, size), 0);
    for (uint32_t i = size; i < INET_SIZE; i++)
        CHECK_EQUAL(memory[ADDRESS_AT + i], 0);
}

static void check_receives(struct world *w, bool with_address) {
    receive(w, 100, with_address);
    send_to_us(w, 40);
    check_result(w, 0, 40);
    if (with_address)
        check_sender(w);
    receive(w, 30, with_address);
    send_to_us(w, 40);
    check_result(w, EMSGSIZE, 30);
    CHECK_EQUAL(memory[29], 'd');
    CHECK_EQUAL(memory[30], 0);
    receive(w, 40, with_address);
    send_to_us(w, 40);
    check_result(w, 0, 40);
    receive(w, 10, with_address);
    send_to_us(w, 0);
    check_result(w, 0, 0);
    receive(w, 0, with_address);
    send_to_us(w, 40);
    check_result(w, EMSGSIZE, 0);
}

static void check_sends(struct world *w) {
    struct sockaddr_storage address;
    socklen_t size;
    char got[100];
    address_of(w->peer, &address, &size);
    memset(memory, 's', 50);
    memcpy(memory + ADDRESS_AT, &address, size);
    for (uint32_t length = 0; length <= 50; length += 25) {
        uint64_t data = length ? w->buffer : 0;
        CHECK_EQUAL(rio_send_to(w->core, w->rq, data, 0, length, w->buffer, ADDRESS_AT, 0, 0), 0);
        check_result(w, 0, length);
        CHECK_EQUAL(recv(w->peer, got, sizeof got, 0), length);
    }
    CHECK_EQUAL(rio_send_to(w->core, w->rq, w->buffer, 0, 1, w->buffer, sizeof memory - INET_SIZE + 1, 0, 0),
                RIO_E_INVAL);
    memset(memory + ADDRESS_AT, 0, INET_SIZE); /* no family */
    CHECK_EQUAL(rio_send_to(w->core, w->rq, w->buffer, 0, 1, w->buffer, ADDRESS_AT, 0, 0), RIO_E_INVAL);
    CHECK_EQUAL(rio_buffer_uses(w->core, w->buffer), 0);
}

static void run(int family) {
    struct world w = {.core = open_core(), .fd = bound(family, SOCK_DGRAM), .peer = bound(family, SOCK_DGRAM)};
    w.cq = new_cq(w.core, 8);
    w.rq = new_rq(w.core, w.fd, false, 4, w.cq, 0);
    w.buffer = register_memory(w.core, memory, sizeof memory);
    CHECK_EQUAL(rio_receive(w.core, w.rq, w.buffer, 0, 1, RIO_FLAG_WAITALL, 0), RIO_E_INVAL);
    check_receives(&w, false);
    check_receives(&w, true);
    check_sends(&w);
    check_idle(w.core, w.cq);
    close_core(w.core);
    close(w.fd);
    close(w.peer);
}

int main(void) {
    run(AF_INET);
    run(AF_INET6);
    return 0;
}
