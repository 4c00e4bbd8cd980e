/* An error in a batch of datagrams belongs to one request; those before and behind it go on. */
#include "check.h"

#define COUNT 8u

static char memory[70000];

int main(void) {
    rio_core *core = open_core();
    int fd = bound(AF_INET, SOCK_DGRAM), peer = bound(AF_INET, SOCK_DGRAM);
    struct sockaddr_storage address;
    socklen_t size;
    uint32_t lengths[COUNT] = {1, 2, 66000, 3, 0, 66000, 66000 - 65999, 4};
    rio_result results[COUNT];
    char got[16];
    uint64_t cq = new_cq(core, 2 * COUNT), rq = new_rq(core, fd, false, COUNT, cq, 0);
    uint64_t buffer = register_memory(core, memory, sizeof memory);
    address_of(peer, &address, &size);
    CHECK_EQUAL(connect(fd, (struct sockaddr *)&address, size), 0);

    /* Longer than a datagram can be; all at the same place, so that they fit. */
    for (uint32_t i = 0; i < COUNT; i++)
        CHECK_EQUAL(rio_send(core, rq, buffer, 0, lengths[i], RIO_FLAG_DEFER, i), 0);
    CHECK_EQUAL(rio_commit(core, rq), 0);
    collect(core, cq, results, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        CHECK_EQUAL(results[i].request_context, i);
        CHECK_EQUAL(results[i].status, lengths[i] > 65507 ? EMSGSIZE : 0);
        if (lengths[i] <= 65507)
            CHECK_EQUAL(recv(peer, got, sizeof got, MSG_DONTWAIT), lengths[i]);
    }

    /* A peer that is gone. sendmmsg(2) keeps an error to itself when it has sent something; a receive then tells. */
    close(peer);
    for (uint32_t i = 0; i < COUNT; i++)
        CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, RIO_FLAG_DEFER, i), 0);
    CHECK_EQUAL(rio_receive_many(core, rq, buffer, 0, 1, 1, 60000, 32, COUNT, RIO_FLAG_DEFER, 100), COUNT);
    CHECK_EQUAL(rio_commit(core, rq), 0);
    uint32_t refused = 0;
    for (uint32_t i = 0; i < COUNT;) {
        rio_result result = collect_one(core, cq);
        CHECK(result.status == 0 || result.status == ECONNREFUSED);
        refused += result.status == ECONNREFUSED;
        i += result.request_context < 100;
        CHECK(result.request_context < 100 || result.status == ECONNREFUSED);
    }
    if (!refused)
        CHECK_EQUAL(collect_one(core, cq).status, ECONNREFUSED);
    CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
    while (info_of(core).requests_outstanding)
        collect_one(core, cq);
    CHECK_EQUAL(rio_buffer_uses(core, buffer), 0);
    close_core(core);
    close(fd);
    return 0;
}
