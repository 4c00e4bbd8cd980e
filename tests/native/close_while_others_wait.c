/* A core that is closed while other threads are inside it ends their calls, and frees nothing under their feet. */
#include "check.h"

#define ROUNDS 200
#define THREADS 3

struct job {
    rio_core *core;
    uint64_t port;
    int number;
};

/* Each thread has another habit: wait without an end, wait in short pieces, wake all the time. */
static void *visitor(void *argument) {
    struct job *job = argument;
    rio_event event;
    int code;
    if (job->number == 0)
        while ((code = rio_wait(job->core, job->port, -1, &event, 1)) == 1)
            continue;
    else if (job->number == 1)
        while ((code = rio_wait(job->core, 0, MS / 100, &event, 1)) == 0)
            continue;
    else
        while ((code = rio_wake(job->core, job->port)) == 0)
            sched_yield();
    CHECK_EQUAL(code, job->number == 2 ? RIO_E_CLOSED : -EBADF);
    return NULL;
}

static void *open_elsewhere(void *core) {
    *(rio_core **)core = open_core();
    return NULL;
}

static void *own_and_wait(void *argument) {
    rio_core *core = open_core();
    rio_event event;
    __atomic_store_n((rio_core **)argument, core, __ATOMIC_RELEASE);
    CHECK_EQUAL(rio_wait(core, 0, -1, &event, 1), -EBADF);
    return NULL;
}

static void close_under_visitors(void) {
    rio_core *core = open_core();
    pthread_t threads[THREADS];
    struct job jobs[THREADS];
    uint64_t port;
    CHECK_EQUAL(rio_port_create(core, &port), 0);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){core, port, i};
        pthread_create(&threads[i], NULL, visitor, &jobs[i]);
    }
    CHECK_EQUAL(rio_core_close(core, PATIENCE), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    rio_core_free(core);
}

/* The owner itself waits, and another thread closes. */
static void close_under_the_owner(void) {
    rio_core *core = NULL;
    pthread_t thread;
    pthread_create(&thread, NULL, own_and_wait, &core);
    while (!__atomic_load_n(&core, __ATOMIC_ACQUIRE))
        sched_yield();
    CHECK_EQUAL(rio_core_close(core, PATIENCE), 0);
    pthread_join(thread, NULL);
    rio_core_free(core);
}

/* The owner is gone; its requests are over, and any thread may close. */
static void close_without_the_owner(void) {
    rio_core *core;
    pthread_t thread;
    char memory[8];
    int fds[2];
    pthread_create(&thread, NULL, open_elsewhere, &core);
    pthread_join(thread, NULL);
    stream_pair(fds);
    uint64_t cq = new_cq(core, 4), rq = new_rq(core, fds[0], true, 1, cq, 0);
    CHECK_EQUAL(rio_receive(core, rq, register_memory(core, memory, 8), 0, 8, 0, 1), 0);
    close_core(core);
    close(fds[0]);
    close(fds[1]);
}

int main(void) {
    for (int round = 0; round < ROUNDS; round++) {
        close_under_visitors();
        close_under_the_owner();
        close_without_the_owner();
    }
    return 0;
}
