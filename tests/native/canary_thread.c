/* MUST FAIL under ThreadSanitizer: two threads count wake-ups without a lock between them. */
#include "check.h"

static rio_core *core;
static uint32_t wakes;

static void *waker(void *argument) {
    (void)argument;
    for (int i = 0; i < 1000; i++) {
        wakes++;
        CHECK_EQUAL(rio_wake(core, 0), 0);
        wakes++;
    }
    return NULL;
}

int main(void) {
    pthread_t threads[2];
    core = open_core();
    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, waker, NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    printf("%u\n", wakes);
    close_core(core);
    return 0;
}
