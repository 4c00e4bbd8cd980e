/* A buffer that a request uses outlives its deregistration, takes no new request, and its old id never works again. */
#include "check.h"

int main(void) {
    rio_core *core = open_core();
    char *memory = malloc(64), other[64] = {0};
    int fds[2];
    uint64_t cq = new_cq(core, 16), first = register_memory(core, memory, 64), second, id;
    stream_pair(fds);
    uint64_t rq = new_rq(core, fds[0], true, 4, cq, 0);

    CHECK_EQUAL(rio_register_buffer(core, memory, 0, 0, &id), RIO_E_INVAL);
    CHECK_EQUAL(rio_register_buffer(core, memory, 1ULL << 32, 0, &id), RIO_E_INVAL);
    CHECK_EQUAL(rio_receive(core, rq, first, 60, 5, 0, 0), RIO_E_INVAL);
    CHECK_EQUAL(rio_receive(core, rq, first, UINT32_MAX, UINT32_MAX, 0, 0), RIO_E_INVAL);
    CHECK_EQUAL(rio_receive(core, rq, first, 0, 0, 0, 0), RIO_E_INVAL);
    CHECK_EQUAL(rio_receive(core, rq, 0, 0, 1, 0, 0), RIO_E_INVAL);
    CHECK_EQUAL(rio_receive(core, rq, first + 1, 0, 1, 0, 0), RIO_E_FAULT);
    CHECK_EQUAL(rio_receive(core, rq, first | 1ULL << 63, 0, 1, 0, 0), RIO_E_FAULT);
    CHECK_EQUAL(rio_buffer_uses(core, first), 0);

    /* One receive in the kernel, one queued behind it. */
    CHECK_EQUAL(rio_receive(core, rq, first, 0, 32, 0, 1), 0);
    CHECK_EQUAL(rio_receive(core, rq, first, 32, 32, 0, 2), 0);
    CHECK_EQUAL(rio_deregister_buffer(core, first), 2);
    CHECK_EQUAL(rio_deregister_buffer(core, first), -1);
    CHECK_EQUAL(rio_receive(core, rq, first, 0, 1, 0, 3), RIO_E_FAULT);
    second = register_memory(core, other, sizeof other);
    CHECK(second != first);
    CHECK_EQUAL(rio_buffer_uses(core, first), 2);
    CHECK_EQUAL(write(fds[1], "ab", 2), 2);
    CHECK_EQUAL(collect_one(core, cq).bytes_transferred, 2);
    CHECK_EQUAL(memcmp(memory, "ab", 2), 0);
    CHECK_EQUAL(rio_buffer_uses(core, first), 1);
    CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
    CHECK_EQUAL(collect_one(core, cq).status, ECANCELED);
    CHECK_EQUAL(rio_buffer_uses(core, first), 0);
    free(memory); /* a write of the kernel from here on would be a crime that the allocator may notice */

    /* The slot goes round; the id does not. */
    for (int i = 0; i < 1000; i++) {
        id = register_memory(core, other, sizeof other);
        CHECK(id != first && id != second);
        CHECK_EQUAL(rio_deregister_buffer(core, first), -1);
        CHECK_EQUAL(rio_deregister_buffer(core, id), 0);
        CHECK_EQUAL(rio_deregister_buffer(core, id), -1);
    }

    /* So does the slot of one that was deregistered while in use. */
    rq = new_rq(core, fds[0], true, 4, cq, 0);
    for (int i = 0; i < 1000; i++) {
        id = register_memory(core, other, sizeof other);
        CHECK((uint32_t)id < 10);
        CHECK_EQUAL(rio_receive(core, rq, id, 0, 1, 0, 0), 0);
        CHECK_EQUAL(rio_deregister_buffer(core, id), 1);
        CHECK_EQUAL(write(fds[1], "x", 1), 1);
        CHECK_EQUAL(collect_one(core, cq).status, 0);
    }

    /* Memory for sending only. */
    uint64_t read_only, sender = new_rq(core, fds[1], true, 1, cq, 0);
    CHECK_EQUAL(rio_register_buffer(core, other, sizeof other, 1, &read_only), 0);
    CHECK_EQUAL(rio_receive(core, sender, read_only, 0, 1, 0, 0), RIO_E_FAULT);
    CHECK_EQUAL(rio_send(core, sender, read_only, 0, 1, 0, 0), 0);
    CHECK_EQUAL(collect_one(core, cq).status, 0);
    close_core(core);
    return 0;
}
