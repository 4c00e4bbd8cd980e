/* Random sequences of calls keep the books: each answer is a model's, no result is lost, doubled or foreign.
 *
 * Arguments: seconds (default 2), first seed (default 1). Each seed is one world: a core, some operations, and an end,
 * orderly or in the middle of everything. The last line of the output names the seed; SECONDS=0 runs that one only. */
#include "check.h"

#define CQS 3
#define RQS 5
#define BUFFERS 3
#define POLLS 4
#define CONTEXTS 4096
#define ROOM 512u

struct cq {
    bool is_open, is_port;
    bool is_vague; /* shared with a queue whose results go nowhere: when its charge comes back is not seen */
    uint32_t armed; /* notifies whose packet has not come */
    uint64_t handle;
    uint32_t capacity, charged;
};

struct rq {
    bool is_open, is_lost; /* lost: its completion queue is closed, so its results go nowhere */
    uint64_t handle;
    int fds[2], cq[2];
    uint32_t number, max[2], outstanding[2];
    uint64_t written, received;
};

struct buffer {
    uint64_t id;
    char *memory;
};

/* What is known of each request: its context is its index. */
struct request {
    bool is_posted, is_done, may_abort;
    int rq, direction;
    uint32_t rq_number, length;
};

static struct {
    rio_core *core;
    uint64_t seed;
    struct cq cqs[CQS];
    struct rq rqs[RQS];
    struct buffer buffers[BUFFERS];
    struct request requests[CONTEXTS];
    int64_t polls[POLLS];
    int poll_fds[2];
    uint32_t posted, rq_numbers, outstanding;
    bool may_lose, has_lost; /* completion queues are closed under their request queues */
} w;

static uint32_t dice(uint32_t sides) { return random_below(&w.seed, sides); }

/* ---- queues ---- */

static void open_cq(struct cq *cq) {
    if (cq->is_open)
        return;
    *cq = (struct cq){.is_open = true, .is_port = dice(2), .capacity = 1 + dice(40)};
    cq->handle = new_cq_with(w.core, cq->capacity, cq->is_port ? PORT : POLLED, (uint64_t)(cq - w.cqs));
}

static int expected_charge(const struct cq *cq, int64_t more) {
    return cq->charged + more > cq->capacity ? RIO_E_NOBUFS : 0;
}

static void open_rq(struct rq *rq) {
    int r = (int)dice(CQS), s = (int)dice(CQS);
    uint32_t max[2] = {dice(5), dice(5)};
    if (rq->is_open || !w.cqs[r].is_open || !w.cqs[s].is_open)
        return;
    int expected = !max[0] && !max[1] ? RIO_E_INVAL
                   : r == s           ? expected_charge(&w.cqs[r], max[0] + max[1])
                   : expected_charge(&w.cqs[r], max[0]) ? RIO_E_NOBUFS
                                                        : expected_charge(&w.cqs[s], max[1]);
    *rq = (struct rq){.number = w.rq_numbers++, .cq = {r, s}, .max = {max[0], max[1]}};
    stream_pair(rq->fds);
    int code = rio_create_request_queue(w.core, rq->fds[0], 1, max[0], max[1], w.cqs[r].handle, w.cqs[s].handle,
                                        rq->number, &rq->handle);
    if (!w.cqs[r].is_vague && !w.cqs[s].is_vague)
        CHECK_EQUAL(code, expected);
    rq->is_open = code == 0;
    if (code) {
        close(rq->fds[0]);
        close(rq->fds[1]);
        return;
    }
    w.cqs[r].charged += max[0];
    w.cqs[s].charged += max[1];
}

/* A closed queue's charge comes back with its last result. */
static void give_back(struct rq *rq) {
    if (rq->is_open || rq->is_lost || rq->outstanding[0] || rq->outstanding[1])
        return;
    for (int d = 0; d < 2; d++) {
        w.cqs[rq->cq[d]].charged -= rq->max[d];
        rq->max[d] = 0;
    }
}

static void close_rq(struct rq *rq) {
    if (!rq->is_open)
        return;
    CHECK_EQUAL(rio_close_request_queue(w.core, rq->handle), 0);
    rq->is_open = false;
    for (uint32_t i = 0; i < w.posted; i++)
        if (w.requests[i].rq_number == rq->number)
            w.requests[i].may_abort = true;
    close(rq->fds[0]);
    close(rq->fds[1]);
    give_back(rq);
}

static void resize_rq(struct rq *rq) {
    uint32_t max[2] = {dice(8), dice(8)};
    if (!rq->is_open || rq->is_lost)
        return;
    struct cq *cq[2] = {&w.cqs[rq->cq[0]], &w.cqs[rq->cq[1]]};
    int64_t more[2] = {(int64_t)max[0] - rq->max[0], (int64_t)max[1] - rq->max[1]};
    int expected = 0;
    if (!max[0] && !max[1])
        expected = RIO_E_INVAL;
    else if (max[0] < rq->outstanding[0] || max[1] < rq->outstanding[1])
        expected = RIO_E_TOOMANYREFS;
    else if (cq[0] == cq[1])
        expected = more[0] + more[1] > 0 ? expected_charge(cq[0], more[0] + more[1]) : 0;
    else
        for (int d = 0; d < 2; d++)
            if (more[d] > 0 && expected_charge(cq[d], more[d]))
                expected = RIO_E_NOBUFS;
    int code = rio_resize_request_queue(w.core, rq->handle, max[0], max[1]);
    if (!cq[0]->is_vague && !cq[1]->is_vague)
        CHECK_EQUAL(code, expected);
    for (int d = 0; d < 2 && !code; d++) {
        cq[d]->charged = (uint32_t)(cq[d]->charged + more[d]);
        rq->max[d] = max[d];
    }
}

static void resize_cq(struct cq *cq) {
    uint32_t size = dice(50);
    if (!cq->is_open)
        return;
    int expected = !size ? RIO_E_INVAL : size < cq->charged ? RIO_E_TOOMANYREFS : 0;
    int code = rio_resize_completion_queue(w.core, cq->handle, size);
    if (!cq->is_vague)
        CHECK_EQUAL(code, expected);
    if (!code)
        cq->capacity = size;
}

static void close_cq(struct cq *cq) {
    if (!cq->is_open || !w.may_lose || dice(8))
        return;
    CHECK_EQUAL(rio_close_completion_queue(w.core, cq->handle), 0);
    cq->is_open = false;
    for (int i = 0; i < RQS; i++) {
        struct rq *rq = &w.rqs[i];
        bool is_live = rq->is_open || rq->outstanding[0] || rq->outstanding[1];
        if (!is_live || (&w.cqs[rq->cq[0]] != cq && &w.cqs[rq->cq[1]] != cq))
            continue;
        rq->is_lost = w.has_lost = true;
        w.cqs[rq->cq[0]].is_vague = w.cqs[rq->cq[1]].is_vague = true;
    }
}

/* ---- requests ---- */

static void post(struct rq *rq) {
    int direction = (int)dice(2);
    uint32_t flags = dice(2) ? RIO_FLAG_DEFER : 0;
    flags |= (dice(8) ? 0 : RIO_FLAG_WAITALL) | (dice(4) ? 0 : RIO_FLAG_DONT_NOTIFY);
    uint32_t offset = dice(ROOM + 8), length = dice(64);
    struct buffer *buffer = &w.buffers[dice(BUFFERS)];
    uint64_t id = dice(16) ? buffer->id : dice(2) ? 0 : buffer->id ^ 1ULL << 50;
    if (!rq->is_open || w.posted == CONTEXTS)
        return;
    int expected = !length || !id                                   ? RIO_E_INVAL
                   : rq->outstanding[direction] >= rq->max[direction] ? RIO_E_NOBUFS
                   : id != buffer->id || !buffer->memory             ? RIO_E_FAULT
                   : offset + length > ROOM                          ? RIO_E_INVAL
                                                                     : 0;
    int code = direction ? rio_send(w.core, rq->handle, id, offset, length, flags, w.posted)
                         : rio_receive(w.core, rq->handle, id, offset, length, flags, w.posted);
    if (!rq->is_lost)
        CHECK_EQUAL(code, expected);
    if (code)
        return;
    w.requests[w.posted++] = (struct request){true, false, false, (int)(rq - w.rqs), direction, rq->number, length};
    rq->outstanding[direction]++;
    w.outstanding++;
}

static void cancel(struct rq *rq) {
    uint32_t context = w.posted ? w.posted - 1 - dice(w.posted < 8 ? w.posted : 8) : 0;
    if (!rq->is_open)
        return;
    CHECK_EQUAL(rio_cancel(w.core, rq->handle, context), 0);
    if (w.requests[context].rq_number == rq->number)
        w.requests[context].may_abort = true;
}

static void check_result(const struct cq *cq, const rio_result *result) {
    CHECK(result->request_context < w.posted);
    struct request *request = &w.requests[result->request_context];
    struct rq *rq = &w.rqs[request->rq];
    CHECK(!request->is_done);
    CHECK_EQUAL(result->socket_context, request->rq_number);
    CHECK(result->bytes_transferred <= request->length);
    CHECK(result->status == 0 || request->may_abort);
    request->is_done = true;
    w.outstanding--;
    if (rq->number != request->rq_number)
        return; /* its place has another queue now: only after it was lost */
    CHECK(&w.cqs[rq->cq[request->direction]] == cq);
    CHECK(rq->outstanding[request->direction] > 0);
    rq->outstanding[request->direction]--;
    if (request->direction == 0)
        rq->received += result->bytes_transferred;
    CHECK(rq->received <= rq->written);
    if (result->status == 0 && request->direction == 1)
        CHECK_EQUAL(result->bytes_transferred, request->length);
    give_back(rq);
}

static void dequeue(struct cq *cq, uint32_t limit) {
    rio_result results[64];
    if (!cq->is_open)
        return;
    int64_t taken = rio_dequeue(w.core, cq->handle, results, limit);
    CHECK(taken >= 0);
    for (uint32_t i = 0; i < (uint32_t)taken; i++)
        check_result(cq, &results[i]);
}

/* Room in the table of request queues for another one: the old one has nothing outstanding. */
static bool is_free(const struct rq *rq) {
    return !rq->is_open && (rq->is_lost || !(rq->outstanding[0] + rq->outstanding[1]));
}

/* ---- the rest ---- */

static void wait_a_little(int64_t timeout_ns) {
    rio_event events[3];
    if (!dice(16))
        CHECK_EQUAL(rio_wake(w.core, 0), 0);
    int count = rio_wait(w.core, 0, timeout_ns, events, 1 + dice(3));
    CHECK(count >= 0 || count == -EINTR);
    for (int e = 0; e < count; e++) {
        if (events[e].kind == RIO_EVENT_PACKET) {
            CHECK(events[e].key < CQS && w.cqs[events[e].key].is_port);
            CHECK(w.cqs[events[e].key].armed-- > 0);
            continue;
        }
        if (events[e].kind == RIO_EVENT_WAKE)
            continue;
        int i = 0;
        while (i < POLLS && w.polls[i] != (int64_t)events[e].key)
            i++;
        CHECK(i < POLLS);
        w.polls[i] = 0;
    }
}

static void notify(struct cq *cq) {
    if (!cq->is_open)
        return;
    int code = rio_notify(w.core, cq->handle);
    CHECK(!cq->is_port ? code == RIO_E_INVAL : code == 0 || (cq->armed && code == RIO_E_ALREADY));
    cq->armed += code == 0;
}

static void change_buffer(struct buffer *buffer) {
    if (!buffer->memory) {
        buffer->memory = calloc(1, ROOM);
        buffer->id = register_memory(w.core, buffer->memory, ROOM);
    } else if (!rio_buffer_uses(w.core, buffer->id)) {
        CHECK_EQUAL(rio_deregister_buffer(w.core, buffer->id), 0);
        free(buffer->memory);
        buffer->memory = NULL;
    }
}

static void change_poll(int64_t *token) {
    if (*token) {
        CHECK_EQUAL(rio_poll_remove(w.core, (uint64_t)*token), 0);
        *token = 0;
    } else {
        *token = rio_poll_add(w.core, w.poll_fds[0], POLLIN);
        CHECK(*token > 0);
    }
}

static void act_as_peer(struct rq *rq) {
    char data[200] = {0};
    if (!rq->is_open)
        return;
    ssize_t done = send(rq->fds[1], data, 1 + dice(sizeof data), MSG_DONTWAIT | MSG_NOSIGNAL);
    rq->written += done > 0 ? (uint64_t)done : 0;
    recv(rq->fds[1], data, sizeof data, MSG_DONTWAIT);
    if (!dice(4) && write(w.poll_fds[1], data, 1) == 1 && dice(2))
        done = read(w.poll_fds[0], data, 1);
}

static void step(void) {
    struct cq *cq = &w.cqs[dice(CQS)];
    struct rq *rq = &w.rqs[dice(RQS)];
    switch (dice(24)) {
    case 0: return open_cq(cq);
    case 1:
    case 2: return is_free(rq) ? open_rq(rq) : (void)0;
    case 3: return dice(4) ? (void)0 : close_rq(rq);
    case 4: return close_cq(cq);
    case 5: return resize_rq(rq);
    case 6: return resize_cq(cq);
    case 7: return change_buffer(&w.buffers[dice(BUFFERS)]);
    case 8: return change_poll(&w.polls[dice(POLLS)]);
    case 9:
    case 10: return cancel(rq);
    case 11: return notify(cq);
    case 12: return wait_a_little(dice(4) ? 0 : MS / 50);
    case 13: CHECK_EQUAL(rio_commit_all(w.core), 0); return;
    case 14:
    case 15: return dequeue(cq, 1 + dice(64));
    case 16:
    case 17: return act_as_peer(rq);
    default: return post(rq);
    }
}

static void check_books(void) {
    rio_info info = info_of(w.core);
    if (!w.has_lost)
        CHECK_EQUAL(info.requests_outstanding, w.outstanding);
    for (int i = 0; i < CQS; i++)
        if (w.cqs[i].is_open && !w.cqs[i].is_vague)
            CHECK_EQUAL(charged(w.core, w.cqs[i].handle), w.cqs[i].charged);
}

/* Closes every socket and takes every result: nothing may be missing. */
static void end_orderly(void) {
    int64_t end = now_ns() + PATIENCE;
    for (int i = 0; i < RQS; i++)
        close_rq(&w.rqs[i]);
    do {
        for (int i = 0; i < CQS; i++)
            dequeue(&w.cqs[i], 64);
        wait_a_little(0);
        CHECK(now_ns() < end);
    } while (info_of(w.core).requests_outstanding);
    for (uint32_t i = 0; i < w.posted && !w.has_lost; i++)
        CHECK(w.requests[i].is_done);
    for (int i = 0; i < BUFFERS; i++)
        if (w.buffers[i].memory)
            CHECK_EQUAL(rio_buffer_uses(w.core, w.buffers[i].id), 0);
    check_books();
}

static void run_world(uint64_t seed) {
    memset(&w, 0, sizeof w);
    w.seed = seed;
    w.may_lose = !dice(4);
    uint32_t withhold = dice(3) ? 0 : 1u << 7 | 1u << 8 | 1u << 9, steps = 50 + dice(1500);
    w.core = open_core_with(1u << dice(6), withhold);
    CHECK_EQUAL(pipe(w.poll_fds), 0);
    for (uint32_t i = 0; i < steps; i++) {
        step();
        if (i % 16 == 0)
            check_books();
    }
    if (dice(2))
        end_orderly();
    close_core(w.core);
    for (int i = 0; i < RQS; i++)
        if (w.rqs[i].is_open) {
            close(w.rqs[i].fds[0]);
            close(w.rqs[i].fds[1]);
        }
    for (int i = 0; i < BUFFERS; i++)
        free(w.buffers[i].memory);
    close(w.poll_fds[0]);
    close(w.poll_fds[1]);
}

int main(int argc, char **argv) {
    int seconds = argc > 1 ? atoi(argv[1]) : 2;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int64_t end = now_ns() + seconds * 1000 * MS;
    do {
        printf("seed %llu\n", (unsigned long long)seed);
        run_world(seed++);
    } while (now_ns() < end);
    return 0;
}
