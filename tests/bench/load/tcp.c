/* TCP echo: a batch of messages goes out in one send, as many bytes come back. And "hold": the same
 * connections, each proved to work, then left alone. */

#include "load.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* A batch goes out whole before anything is received, so it must fit into the buffers on the way: the server's
 * receive window and, while the server sends, its send buffer and our receive window (64 KiB at the least with
 * Linux's defaults). */
#define LOCKSTEP_BATCH_BYTES_MAX (64 * 1024)

void tcp_check(const struct options *options) {
    if (!options->is_rate && options->message_bytes * options->pipeline > LOCKSTEP_BATCH_BYTES_MAX) {
        fail("usage", "lockstep sends a batch before it receives: message bytes times pipeline must not exceed %d",
             LOCKSTEP_BATCH_BYTES_MAX);
    }
}

void tcp_open(struct load *load, struct connection *connection) {
    connection->fd = socket_open(load, SOCK_STREAM);
}

/* Rate: send what fits now, and ask for EPOLLOUT exactly while something is left. */
static void push(struct load *load, struct connection *connection) {
    while (connection->sent < load->batch_bytes) {
        ssize_t count = send(connection->fd, load->out + connection->sent, load->batch_bytes - connection->sent,
                             MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) {
            break;
        }
        if (count < 0) {
            fail_errno("send", connection);
        }
        connection->sent += (size_t)count;
    }
    bool wants_write = connection->sent < load->batch_bytes;
    if (wants_write != connection->wants_write) {
        connection->wants_write = wants_write;
        watch(load, connection);
    }
}

void tcp_begin(struct load *load, struct connection *connection) {
    connection->sent = connection->received = 0;
    pattern_fill(load, connection, load->out, load->options.pipeline);
    if (load->epoll_fd >= 0) {
        push(load, connection);
    } else {
        send_all(connection, load->out, load->batch_bytes);
    }
}

static size_t room(const struct load *load, const struct connection *connection) {
    size_t left = load->batch_bytes - connection->received;
    return left < INPUT_SIZE_BYTES ? left : INPUT_SIZE_BYTES;
}

void tcp_finish(struct load *load, struct connection *connection) {
    while (connection->received < load->batch_bytes) {
        size_t count = receive_some(connection, load->in, room(load, connection));
        pattern_check(load, connection, connection->received, load->in, count);
        connection->received += count;
    }
}

bool tcp_progress(struct load *load, struct connection *connection, uint32_t events) {
    if (events & EPOLLOUT) {
        pattern_fill(load, connection, load->out, load->options.pipeline);
        push(load, connection);
    }
    if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP))) {
        return false;
    }
    size_t count = receive_some(connection, load->in, room(load, connection));
    pattern_check(load, connection, connection->received, load->in, count);
    connection->received += count;
    return connection->received == load->batch_bytes;
}

static void hold_nothing(struct load *load) {
    (void)load;
}

static const struct exchange tcp_exchange = {
    .open = tcp_open, .begin = tcp_begin, .finish = tcp_finish, .progress = tcp_progress};

const struct mode mode_echo = {
    .name = "echo", .exchange = &tcp_exchange, .check = tcp_check, .warm_up = warm_up_to_stay};

const struct mode mode_hold = {.name = "hold",
                               .exchange = &tcp_exchange,
                               .check = tcp_check,
                               .warm_up = warm_up_to_hold,
                               .run = hold_nothing};
