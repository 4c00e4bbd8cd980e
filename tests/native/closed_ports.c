/* A closed port ends its waits and gives back its descriptor and its place; its number is refused from then on. */
#include "check.h"

#define ROUNDS 50
#define WAITERS 3

static rio_core *core;
static pthread_barrier_t barrier;

static int open_descriptors(void) {
    int count = 0;
    for (int fd = 0; fd < 1000; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static uint64_t new_port(void) {
    uint64_t port;
    CHECK_EQUAL(rio_port_create(core, &port), 0);
    return port;
}

static uint64_t new_cq_at(uint64_t port) {
    uint64_t cq;
    CHECK_EQUAL(rio_create_completion_queue(core, 2, PORT, -1, 0, port, 5, &cq), 0);
    return cq;
}

static void *use_ports(void *argument) {
    (void)argument;
    for (int round = 0; round < ROUNDS; round++) {
        rio_event event;
        uint64_t port = new_port(), cq = new_cq_at(port);
        CHECK_EQUAL(rio_wait(core, port, MS / 10, &event, 1), 0);
        CHECK_EQUAL(rio_port_close(core, port), 0);
        CHECK_EQUAL(rio_close_completion_queue(core, cq), 0);
    }
    return NULL;
}

static void check_descriptors(void) {
    int before = open_descriptors();
    pthread_t thread;
    pthread_create(&thread, NULL, use_ports, NULL);
    pthread_join(thread, NULL);
    CHECK_EQUAL(open_descriptors(), before);
}

static void *waiter(void *argument) {
    uint64_t port = *(uint64_t *)argument;
    rio_event event;
    pthread_barrier_wait(&barrier);
    int count = rio_wait(core, port, -1, &event, 1);
    CHECK(count == -EINVAL || (count == 1 && event.kind == RIO_EVENT_WAKE)); /* the first: it came too late */
    return NULL;
}

static void check_waits_end(void) {
    pthread_t threads[WAITERS];
    uint64_t port = new_port();
    for (int i = 0; i < WAITERS; i++)
        pthread_create(&threads[i], NULL, waiter, &port);
    pthread_barrier_wait(&barrier);
    CHECK_EQUAL(rio_port_close(core, port), 0);
    for (int i = 0; i < WAITERS; i++)
        pthread_join(threads[i], NULL);
}

static void check_refused(uint64_t port) {
    rio_event event;
    uint64_t cq;
    CHECK_EQUAL(rio_wait(core, port, 0, &event, 1), -EINVAL);
    CHECK_EQUAL(rio_wake(core, port), RIO_E_INVAL);
    CHECK_EQUAL(rio_port_close(core, port), RIO_E_INVAL);
    CHECK_EQUAL(rio_create_completion_queue(core, 2, PORT, -1, 0, port, 5, &cq), RIO_E_INVAL);
}

static void check_number_is_refused(void) {
    uint64_t port = new_port();
    CHECK_EQUAL(rio_port_close(core, port), 0);
    check_refused(port);
    CHECK_EQUAL((uint32_t)new_port(), (uint32_t)port); /* another has its place now */
    check_refused(port);
    CHECK_EQUAL(rio_port_close(core, 0), RIO_E_INVAL); /* the core's own */
}

/* The packets of a queue whose port is closed are nobody's, and spoil no other port. */
static void check_queue_outlives_port(void) {
    char byte = 0;
    int fds[2];
    rio_event event;
    uint64_t port = new_port(), cq = new_cq_at(port), buffer = register_memory(core, &byte, 1);
    stream_pair(fds);
    uint64_t rq = new_rq(core, fds[0], true, 1, cq, 0);
    CHECK_EQUAL(rio_port_close(core, port), 0);
    uint64_t other = new_port();
    CHECK_EQUAL(rio_notify(core, cq), 0);
    CHECK_EQUAL(rio_send(core, rq, buffer, 0, 1, 0, 0), 0);
    CHECK_EQUAL(collect_one(core, cq).status, 0);
    CHECK_EQUAL(rio_wait(core, other, 0, &event, 1), 0);
    CHECK_EQUAL(rio_close_completion_queue(core, cq), 0);
    CHECK_EQUAL((uint32_t)new_port(), (uint32_t)port);
    CHECK_EQUAL(rio_wait(core, other, 0, &event, 1), 0);
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
    core = open_core();
    pthread_barrier_init(&barrier, NULL, WAITERS + 1);
    check_descriptors();
    for (int round = 0; round < ROUNDS; round++)
        check_waits_end();
    check_queue_outlives_port();
    check_number_is_refused();
    close_core(core);
    return 0;
}
