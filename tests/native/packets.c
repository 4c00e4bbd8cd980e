/* Each notify that fires brings one packet, in that order, to its own port; a closed queue's packets are gone. */
#include "check.h"

#define QUEUES 5u

static rio_core *core;
static uint64_t cqs[QUEUES], rqs[QUEUES], buffer;

/* Makes the queue fire `times` times; nobody takes the packets in between. */
static void fire(uint32_t i, int times) {
    for (; times; times--) {
        CHECK_EQUAL(rio_notify(core, cqs[i]), 0);
        CHECK_EQUAL(rio_send(core, rqs[i], buffer, 0, 1, 0, 0), 0);
        CHECK_EQUAL(collect_one(core, cqs[i]).status, 0);
    }
}

static void check_packets(uint64_t port, const char *keys) {
    rio_event events[16];
    int count = rio_wait(core, port, 0, events, 16);
    CHECK_EQUAL(count, strlen(keys));
    for (int i = 0; i < count; i++) {
        CHECK_EQUAL(events[i].kind, RIO_EVENT_PACKET);
        CHECK_EQUAL(events[i].key, keys[i] - '0');
    }
    CHECK_EQUAL(rio_wait(core, port, 0, events, 16), 0);
}

/* Every way to take one queue out of the list: from its front, its middle, its end, and as the only one. */
static void check_closing(const char *closed, const char *left) {
    for (uint32_t i = 0; i < QUEUES; i++)
        fire(i, 1);
    for (const char *at = closed; *at; at++) {
        uint32_t i = (uint32_t)(*at - '0');
        CHECK_EQUAL(rio_close_completion_queue(core, cqs[i]), 0);
        CHECK_EQUAL(rio_close_request_queue(core, rqs[i]), 0);
    }
    if (*left)
        fire((uint32_t)(left[0] - '0'), 1); /* the list goes on */
    char keys[16];
    snprintf(keys, sizeof keys, "%s", left);
    if (*left) {
        /* A second packet of the first queue comes with its first one. */
        snprintf(keys, sizeof keys, "%c%s", left[0], left);
    }
    check_packets(0, keys);
}

static void open_world(void) {
    static char memory[1];
    core = open_core();
    buffer = register_memory(core, memory, 1);
    for (uint32_t i = 0; i < QUEUES; i++) {
        int fds[2];
        stream_pair(fds);
        cqs[i] = new_cq_with(core, 2, PORT, i);
        rqs[i] = new_rq(core, fds[0], true, 1, cqs[i], 0);
    }
}

int main(void) {
    uint64_t port;
    open_world();
    fire(2, 3);
    fire(0, 1);
    fire(2, 1);
    check_packets(0, "22220");
    CHECK_EQUAL(rio_port_create(core, &port), 0);
    CHECK_EQUAL(rio_close_completion_queue(core, cqs[4]), 0);
    CHECK_EQUAL(rio_close_request_queue(core, rqs[4]), 0);
    int fds[2];
    stream_pair(fds);
    CHECK_EQUAL(rio_create_completion_queue(core, 2, PORT, -1, 0, port, 4, &cqs[4]), 0);
    rqs[4] = new_rq(core, fds[0], true, 1, cqs[4], 0);
    fire(4, 1);
    fire(1, 1);
    check_packets(0, "1");
    check_packets(port, "4");
    close_core(core);

    static const char *ways[][2] = {{"0", "1234"}, {"2", "0134"}, {"4", "0123"}, {"31", "024"}, {"01234", ""}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        open_world();
        check_closing(ways[i][0], ways[i][1]);
        close_core(core);
    }
    return 0;
}
