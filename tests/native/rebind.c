/* A request queue whose socket got a duplicate sends by that, whatever gets the old number, and in order. */
/* Link with: -Wl,--wrap=syscall */
#include "syscalls.h"

static bool fails;
static char memory[2 << 20];

static int before_syscall(long number, const long *arguments) {
    (void)arguments;
    return number == NR_ENTER && fails ? EAGAIN : 0;
}

/* Reads all that is sent, and checks that it is the memory. */
static void *read_all(void *fd) {
    static char got[sizeof memory];
    size_t size = 0;
    for (ssize_t count = 1; count > 0; size += (size_t)count) {
        count = recv(*(int *)fd, got + size, sizeof got - size, 0);
        CHECK(count >= 0);
    }
    CHECK_EQUAL(size, sizeof memory);
    CHECK(!memcmp(got, memory, sizeof memory));
    return NULL;
}

/* `is_taken`: the kernel has the first of two sends, and a part of it is gone, when the socket gets its duplicate. */
static void send_on(bool is_taken) {
    int fds[2], fresh[2];
    pthread_t reader;
    rio_core *core = open_core();
    uint64_t cq = new_cq(core, 4);
    stream_pair(fds);
    uint64_t rq = new_rq(core, fds[0], true, 2, cq, 0);
    uint64_t buffer = register_memory(core, memory, sizeof memory);
    for (size_t i = 0; i < sizeof memory; i++)
        memory[i] = (char)(i / 1000 + i);
    uint32_t half = sizeof memory / 2;
    fails = !is_taken; /* as if there were no memory for requests */
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, half, RIO_FLAG_DEFER, 1), 0);
    CHECK_EQUAL(rio_send(core, rq, buffer, half, half, RIO_FLAG_DEFER, 2), 0);
    CHECK_EQUAL(rio_flush(core, 0) == 0, is_taken);
    fails = false;

    int own = dup(fds[0]);
    CHECK_EQUAL(rio_rebind(core, rq, own), 0);
    close(fds[0]);
    stream_pair(fresh);
    CHECK_EQUAL(fresh[0], fds[0]);
    pthread_create(&reader, NULL, read_all, &fds[1]);
    rio_result results[2];
    collect(core, cq, results, 2);
    CHECK_EQUAL(results[0].status, 0);
    CHECK_EQUAL(results[1].status, 0);
    shutdown(own, SHUT_WR);
    pthread_join(reader, NULL);
    char nothing[1];
    CHECK_EQUAL(recv(fresh[1], nothing, 1, MSG_DONTWAIT), -1);
    CHECK_EQUAL(rio_close_request_queue(core, rq), 0);
    CHECK_EQUAL(rio_rebind(core, rq, own), RIO_E_INVAL);
    check_idle(core, cq);
    close_core(core);
    close(own);
    close(fds[1]);
    close(fresh[0]);
    close(fresh[1]);
}

int main(void) {
    send_on(true);
    send_on(false);
    return 0;
}
