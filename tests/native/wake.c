/* No wake-up is lost: four threads wake a waiting one, each only when its last wake-up has been seen. */
#include "check.h"

#define THREADS 4
#define ROUNDS 2000

static rio_core *core;
static uint32_t asked[THREADS], seen[THREADS];

static void *waker(void *argument) {
    uint32_t *mine = argument, *answer = &seen[mine - asked];
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        __atomic_store_n(mine, round, __ATOMIC_RELEASE);
        CHECK_EQUAL(rio_wake(core, 0), 0);
        while (__atomic_load_n(answer, __ATOMIC_ACQUIRE) != round)
            sched_yield();
    }
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    rio_event event;
    core = open_core();
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, waker, &asked[i]);
    for (bool is_over = false; !is_over;) {
        CHECK_EQUAL(rio_wait(core, 0, PATIENCE, &event, 1), 1); /* 0 would be a wake-up that got lost */
        is_over = true;
        for (int i = 0; i < THREADS; i++) {
            uint32_t round = __atomic_load_n(&asked[i], __ATOMIC_ACQUIRE);
            __atomic_store_n(&seen[i], round, __ATOMIC_RELEASE);
            is_over &= round == ROUNDS;
        }
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    close_core(core);
    return 0;
}
