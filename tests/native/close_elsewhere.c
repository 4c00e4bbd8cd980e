/* A core that another thread than its owner closes takes nothing of what comes for its sockets from then on. */
/* Link with: -Wl,--wrap=syscall */
#include "syscalls.h"

static rio_core *core, *cores[4]; /* all reachable, so that no leak is reported where it is one on purpose */
static int count;
static char memory[8];
static int fds[2];
static bool is_old_kernel;
static pthread_barrier_t barrier;

static int before_syscall(long number, const long *arguments) {
    (void)arguments;
    return number == NR_REGISTER && is_old_kernel ? EINVAL : 0;
}

static void post(void) {
    core = cores[count++] = open_core();
    uint64_t cq = new_cq(core, 4), rq = new_rq(core, fds[0], true, 2, cq, 0);
    uint64_t buffer = register_memory(core, memory, sizeof memory);
    CHECK_EQUAL(rio_receive(core, rq, buffer, 0, 4, 0, 1), 0);
    CHECK_EQUAL(rio_receive(core, rq, buffer, 4, 4, 0, 2), 0); /* is queued: the kernel has not got it */
    pthread_barrier_wait(&barrier);
}

static void *own_and_be_busy(void *argument) {
    (void)argument;
    post();
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void *own_and_wait(void *argument) {
    (void)argument;
    rio_event event;
    post();
    CHECK_EQUAL(rio_wait(core, 0, -1, &event, 1), -EBADF);
    pthread_barrier_wait(&barrier);
    return NULL;
}

/* Calls `check` while the owner still lives: with its end all of its requests end. */
static void close_beside(void *(*owner)(void *), void (*check)(void)) {
    pthread_t thread;
    stream_pair(fds);
    pthread_create(&thread, NULL, owner, NULL);
    pthread_barrier_wait(&barrier);
    check();
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    rio_core_free(core); /* does nothing where the memory is kept */
    close(fds[1]);
}

static void check_reader_gets_all(void) {
    char byte;
    if (rio_core_close(core, PATIENCE)) {
        printf("this kernel cannot cancel from another thread (Linux 6.0)\n");
        exit(CANNOT_SHOW);
    }
    CHECK_EQUAL(write(fds[1], "x", 1), 1);
    CHECK_EQUAL(recv(fds[0], &byte, 1, MSG_DONTWAIT), 1);
    close(fds[0]);
}

/* The kernel cancels a moment later. A request holds its socket open, so the peer sees when it has. */
static void check_socket_is_let_go(void) {
    rio_result result;
    CHECK_EQUAL(rio_core_close(core, PATIENCE), 1);
    CHECK_EQUAL(rio_core_close(core, PATIENCE), 0);
    CHECK_EQUAL(rio_dequeue(core, 0, &result, 1), -RIO_E_CLOSED);
    close(fds[0]);
    struct pollfd peer = {fds[1], POLLIN, 0};
    CHECK_EQUAL(poll(&peer, 1, (int)(PATIENCE / MS)), 1);
}

int main(void) {
    pthread_barrier_init(&barrier, NULL, 2);
    is_old_kernel = true;
    close_beside(own_and_be_busy, check_socket_is_let_go);
    close_beside(own_and_wait, check_socket_is_let_go);
    is_old_kernel = false;
    close_beside(own_and_be_busy, check_reader_gets_all);
    close_beside(own_and_wait, check_reader_gets_all);
    return 0;
}
