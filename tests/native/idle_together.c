/* Threads that wait together sleep: a result that is news to none of them does not make them wake each other. */
#include "check.h"

#define THREADS 3
#define SWITCHES_MAX 100 /* far more than a wait needs, far fewer than one that is kept awake makes */

static rio_core *core;
static pthread_barrier_t barrier;

static void *waiter(void *argument) {
    rio_event event;
    struct rusage usage;
    pthread_barrier_wait(&barrier);
    CHECK_EQUAL(rio_wait(core, *(uint64_t *)argument, 300 * MS, &event, 1), 0);
    getrusage(RUSAGE_THREAD, &usage);
    CHECK(usage.ru_nvcsw < SWITCHES_MAX);
    return NULL;
}

int main(void) {
    char memory[1];
    int fds[2];
    uint64_t ports[THREADS];
    pthread_t threads[THREADS];
    core = open_core();
    stream_pair(fds);
    uint64_t cq = new_cq(core, 4), rq = new_rq(core, fds[0], true, 1, cq, 0);
    CHECK_EQUAL(rio_receive(core, rq, register_memory(core, memory, 1), 0, 1, 0, 0), 0);
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        CHECK_EQUAL(rio_port_create(core, &ports[i]), 0);
        pthread_create(&threads[i], NULL, waiter, &ports[i]);
    }
    pthread_barrier_wait(&barrier);
    usleep(50000); /* most waits have begun; if none has, the program shows less and still holds */
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    collect_one(core, cq);
    close_core(core);
    return 0;
}
