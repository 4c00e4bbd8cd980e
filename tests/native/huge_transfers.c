/* A request may be for up to 4 GiB, though the kernel takes less than 2 GiB at once. */
#include "check.h"

#include <sys/mman.h>

#define LENGTH_MAX UINT32_MAX

static const uint32_t lengths[] = {0x7fffffffu, 0x80000000u, LENGTH_MAX};
static uint64_t buffer;

static void check_stream(rio_core *core, uint64_t cq, uint32_t length) {
    int fds[2];
    char got;
    stream_pair(fds);
    uint64_t rq = new_rq(core, fds[0], true, 1, cq, 0);
    CHECK_EQUAL(rio_receive(core, rq, buffer, 0, length, 0, 1), 0);
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    rio_result result = collect_one(core, cq);
    CHECK_EQUAL(result.status, 0);
    CHECK_EQUAL(result.bytes_transferred, 1);

    CHECK_EQUAL(rio_send(core, rq, buffer, 0, length, 0, 2), 0);
    CHECK_EQUAL(read(fds[1], &got, 1), 1);
    CHECK_EQUAL(got, 'x');
    CHECK_EQUAL(rio_dequeue(core, cq, &result, 1), 0); /* on its way */
    CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
    result = collect_one(core, cq);
    CHECK_EQUAL(result.status, ECANCELED);
    CHECK(result.bytes_transferred < length);
    close(fds[0]);
    close(fds[1]);
}

static void check_datagrams(rio_core *core, uint64_t cq, uint32_t length) {
    int fds[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    uint64_t rq = new_rq(core, fds[0], false, 1, cq, 0);
    CHECK_EQUAL(rio_receive(core, rq, buffer, 0, length, 0, 1), 0);
    rio_event event;
    CHECK_EQUAL(rio_wait(core, 0, 0, &event, 1), 0); /* into the ring, since there is nothing yet */
    CHECK_EQUAL(write(fds[1], "datagram", 8), 8);
    rio_result result = collect_one(core, cq);
    CHECK_EQUAL(result.status, 0);
    CHECK_EQUAL(result.bytes_transferred, 8);

    CHECK_EQUAL(rio_send(core, rq, buffer, 0, length, 0, 2), 0); /* no datagram is so long */
    CHECK_EQUAL(collect_one(core, cq).status, EMSGSIZE);
    CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
    rio_core *core = open_core();
    uint64_t cq = new_cq(core, 8);
    char *memory = mmap(NULL, LENGTH_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        printf("no room for 4 GiB of addresses: %s\n", strerror(errno));
        return CANNOT_SHOW;
    }
    buffer = register_memory(core, memory, LENGTH_MAX);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        check_stream(core, cq, lengths[i]);
        check_datagrams(core, cq, lengths[i]);
    }
    CHECK_EQUAL(charged(core, cq), 0);
    check_idle(core, cq);
    close_core(core);
    return 0;
}
