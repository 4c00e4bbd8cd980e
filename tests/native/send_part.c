/* A send for which a part is enough completes when some of it has gone, and the socket takes no more for now. */
#include "check.h"

#define LENGTH (32u << 20)

static void *swallow(void *argument) {
    static char data[1 << 16];
    for (ssize_t taken; (taken = recv(*(int *)argument, data, sizeof data, 0)) > 0;)
        ;
    return NULL;
}

int main(void) {
    rio_core *core = open_core();
    static char memory[LENGTH];
    int fds[2];
    pthread_t thread;
    uint64_t cq = new_cq(core, 4), buffer = register_memory(core, memory, LENGTH);
    tcp_pair(fds);
    uint64_t rq = new_rq(core, fds[0], true, 2, cq, 0);

    CHECK_EQUAL(rio_send(core, rq, buffer, 0, LENGTH, RIO_FLAG_PART, 1), 0);
    rio_result part = collect_one(core, cq);
    CHECK_EQUAL(part.status, 0);
    CHECK(part.bytes_transferred > 0 && part.bytes_transferred < LENGTH);

    /* It may have to wait for that. */
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, LENGTH, RIO_FLAG_PART, 2), 0);
    pthread_create(&thread, NULL, swallow, &fds[1]);
    rio_result later = collect_one(core, cq);
    CHECK_EQUAL(later.status, 0);
    CHECK(later.bytes_transferred > 0);
    CHECK_EQUAL(shutdown(fds[0], SHUT_WR), 0);
    pthread_join(thread, NULL);
    check_idle(core, cq);
    close_core(core);
    return 0;
}
