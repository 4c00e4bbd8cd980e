/* A stream send completes when all of it went, a WAITALL receive when all of it came, in however small pieces. */
#include "check.h"

#define LENGTH (1u << 20)

static void *feed(void *argument) {
    int fd = *(int *)argument;
    char data[4099];
    for (uint32_t sent = 0; sent < LENGTH;) {
        for (uint32_t i = 0; i < sizeof data; i++)
            data[i] = (char)((sent + i) % 251);
        ssize_t taken = send(fd, data, LENGTH - sent < sizeof data ? LENGTH - sent : sizeof data, 0);
        CHECK(taken > 0);
        sent += (uint32_t)taken;
    }
    return NULL;
}

static void *swallow(void *argument) {
    int fd = *(int *)argument;
    char data[4099];
    for (uint32_t got = 0; got < LENGTH;) {
        ssize_t taken = recv(fd, data, sizeof data, 0);
        CHECK(taken > 0);
        for (ssize_t i = 0; i < taken; i++)
            CHECK_EQUAL(data[i], (char)((got + (uint32_t)i) % 251));
        got += (uint32_t)taken;
    }
    return NULL;
}

int main(void) {
    rio_core *core = open_core();
    static char memory[2 * LENGTH];
    int fds[2], small = 4096;
    pthread_t threads[2];
    uint64_t cq = new_cq(core, 4), buffer = register_memory(core, memory, sizeof memory);
    stream_pair(fds);
    for (int i = 0; i < 2; i++)
        CHECK_EQUAL(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    for (uint32_t i = 0; i < LENGTH; i++)
        memory[i] = (char)(i % 251);
    uint64_t rq = new_rq(core, fds[0], true, 2, cq, 0);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, LENGTH, 0, 1), 0);
    CHECK_EQUAL(rio_receive(core, rq, buffer, LENGTH, LENGTH, RIO_FLAG_WAITALL, 2), 0);
    pthread_create(&threads[0], NULL, feed, &fds[1]);
    pthread_create(&threads[1], NULL, swallow, &fds[1]);
    for (int i = 0; i < 2; i++) {
        rio_result result = collect_one(core, cq);
        CHECK_EQUAL(result.status, 0);
        CHECK_EQUAL(result.bytes_transferred, LENGTH);
    }
    CHECK_EQUAL(memcmp(memory, memory + LENGTH, LENGTH), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);

    /* The end of the stream ends a WAITALL receive early, with what came. */
    CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 100, RIO_FLAG_WAITALL, 3), 0);
    CHECK_EQUAL(write(fds[1], "end", 3), 3);
    close(fds[1]);
    rio_result last = collect_one(core, cq);
    CHECK_EQUAL(last.status, 0);
    CHECK_EQUAL(last.bytes_transferred, 3);
    check_idle(core, cq);
    close_core(core);
    return 0;
}
