/* UDP echo with many peers, and one-way datagrams that the server counts.
 *
 * An empty datagram asks the server for its count; the answer is two little-endian 64-bit numbers, datagrams
 * and bytes since it started. On loopback a socket's datagrams keep their order, so the answer tells of all
 * that was sent before the question and not dropped. */

#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define DATAGRAM_BYTES_MIN 8
#define DATAGRAM_BYTES_MAX 65000
#define QUESTION_INTERVAL_MS 50
#define SENDS_PER_LOOK 32 /* at the clock */

static void udp_check(const struct options *options) {
    if (options->message_bytes < DATAGRAM_BYTES_MIN || options->message_bytes > DATAGRAM_BYTES_MAX) {
        fail("usage", "a datagram must have %d to %d bytes", DATAGRAM_BYTES_MIN, DATAGRAM_BYTES_MAX);
    }
}

static void udp_echo_check(const struct options *options) {
    udp_check(options);
    if (options->pipeline > UDP_PIPELINE_MAX) {
        fail("usage", "UDP echo takes a pipeline of at most %d", UDP_PIPELINE_MAX);
    }
}

static void udp_open(struct load *load, struct connection *connection) {
    connection->fd = socket_open(load, SOCK_DGRAM);
}

static void send_datagrams(struct load *load, struct connection *connection) {
    pattern_fill(load, connection, load->out, load->options.pipeline);
    for (size_t i = 0; i < load->options.pipeline; i++) {
        send_all(connection, load->out + i * load->options.message_bytes, load->options.message_bytes);
    }
}

static void udp_begin(struct load *load, struct connection *connection) {
    connection->seen = 0;
    send_datagrams(load, connection);
}

/* True when the whole batch is back. Order is not promised by UDP, so it is not asked for. */
static bool take(struct load *load, struct connection *connection, size_t size_bytes) {
    if (size_bytes != load->options.message_bytes) {
        fail("corrupt", "peer %u: a datagram of %zu bytes came back, not %zu", connection->index, size_bytes,
             load->options.message_bytes);
    }
    uint64_t place = pattern_sequence(load->in) - connection->sequence;
    if (place >= load->options.pipeline || connection->seen >> place & 1) {
        fail("corrupt", "peer %u: a datagram that was not awaited came back (twice, or not its own)",
             connection->index);
    }
    pattern_check(load, connection, place * size_bytes, load->in, size_bytes);
    connection->seen |= (uint64_t)1 << place;
    uint64_t all = load->options.pipeline == 64 ? UINT64_MAX : ((uint64_t)1 << load->options.pipeline) - 1;
    return connection->seen == all;
}

static void udp_finish(struct load *load, struct connection *connection) {
    bool is_done = false;
    while (!is_done) {
        is_done = take(load, connection, receive_some(connection, load->in, INPUT_SIZE_BYTES));
    }
}

static bool udp_progress(struct load *load, struct connection *connection, uint32_t events) {
    (void)events;
    for (;;) {
        ssize_t count = recv(connection->fd, load->in, INPUT_SIZE_BYTES, 0);
        if (count < 0 && errno == EAGAIN) {
            return false;
        }
        if (count < 0) {
            fail_errno("recv", connection);
        }
        if (take(load, connection, (size_t)count)) {
            return true;
        }
    }
}

static uint64_t little_endian(const uint8_t *data) {
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++) {
        value |= (uint64_t)data[i] << (8 * i);
    }
    return value;
}

/* The server's count. A question may be dropped where the server's buffer is full, so it is repeated; each
 * answer to an earlier question is older, so the largest is the newest. */
static uint64_t ask_count(struct load *load) {
    struct connection *connection = &load->connections[0];
    struct pollfd wait = {.fd = connection->fd, .events = POLLIN};
    uint64_t give_up_ns = now_ns() + ns_of(load->options.timeout_seconds);
    uint64_t count = 0;
    bool is_answered = false;
    while (!is_answered) {
        if (now_ns() > give_up_ns) {
            fail("timeout", "the server did not tell its count within the time limit");
        }
        if (send(connection->fd, "", 0, 0) < 0) {
            fail_errno("send (question)", connection);
        }
        for (int limit_ms = QUESTION_INTERVAL_MS; poll(&wait, 1, limit_ms) > 0; limit_ms = 0) {
            ssize_t size_bytes = recv(connection->fd, load->in, INPUT_SIZE_BYTES, MSG_DONTWAIT);
            if (size_bytes != 16) {
                fail("corrupt", "the server's count has %zd bytes, not 16", size_bytes);
            }
            uint64_t answer = little_endian(load->in);
            count = answer > count ? answer : count;
            is_answered = true;
        }
    }
    return count;
}

static void udp_receive_warm_up(struct load *load) {
    load->counted = ask_count(load);
}

/* Bursts that the server's buffer holds, each followed by the question: no loss is allowed, and the server is
 * idle at the end of each. */
static void receive_lockstep(struct load *load) {
    while (has_time(load)) {
        uint64_t burst = load->options.connections * load->options.pipeline;
        for (size_t i = 0; i < load->options.connections; i++) {
            send_datagrams(load, &load->connections[i]);
            load->connections[i].sequence += load->options.pipeline;
        }
        uint64_t count = ask_count(load);
        load->offered += burst;
        if (count - load->counted != burst) {
            fail("count_mismatch", "the server counted %llu datagrams of a burst of %llu: make bursts smaller",
                 (unsigned long long)(count - load->counted), (unsigned long long)burst);
        }
        load->counted = count;
        load->messages += burst;
    }
    load->bytes = load->messages * load->options.message_bytes;
}

/* At full speed, or at the pace that is asked for; what the server did not count is lost. */
static void receive_rate(struct load *load) {
    double pace = load->options.messages_per_second;
    uint64_t limit = load->options.messages_max;
    uint64_t start_ns = now_ns();
    size_t turn = 0;
    while (limit == 0 || load->offered < limit) {
        if (pace > 0 || load->offered % SENDS_PER_LOOK == 0) {
            uint64_t now = now_ns();
            if (now >= load->deadline_ns) {
                break;
            }
            if (pace > 0 && (double)load->offered >= (double)(now - start_ns) * 1e-9 * pace) {
                continue;
            }
        }
        struct connection *connection = &load->connections[turn];
        turn = turn + 1 == load->options.connections ? 0 : turn + 1;
        pattern_fill(load, connection, load->out, 1);
        connection->sequence++;
        if (send(connection->fd, load->out, load->options.message_bytes, 0) >= 0) {
            load->offered++;
        } else if (errno != ENOBUFS && errno != EAGAIN) {
            fail_errno("send", connection);
        }
    }
    uint64_t count = ask_count(load);
    load->messages = count - load->counted;
    load->counted = count;
    load->bytes = load->messages * load->options.message_bytes;
    if (load->messages > load->offered) {
        fail("count_mismatch", "the server counted %llu datagrams of %llu sent", (unsigned long long)load->messages,
             (unsigned long long)load->offered);
    }
}

static void udp_receive_run(struct load *load) {
    if (load->options.is_rate) {
        receive_rate(load);
    } else {
        receive_lockstep(load);
    }
}

static const struct exchange udp_exchange = {
    .open = udp_open, .begin = udp_begin, .finish = udp_finish, .progress = udp_progress};

const struct mode mode_udp_echo = {
    .name = "udp_echo", .exchange = &udp_exchange, .check = udp_echo_check, .warm_up = warm_up_exchange};

const struct mode mode_udp_receive = {.name = "udp_receive",
                                      .exchange = &udp_exchange,
                                      .check = udp_check,
                                      .warm_up = udp_receive_warm_up,
                                      .run = udp_receive_run};
