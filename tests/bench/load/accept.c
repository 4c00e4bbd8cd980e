/* Connect, one batch there and back, and the server closes.
 *
 * The server closes first on purpose: the side that closes first keeps the address pair in TIME_WAIT. Were it
 * this one, 28,000 local ports would last three seconds. */

#include "load.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static void accept_open(struct load *load, struct connection *connection) {
    (void)load;
    connection->fd = -1;
}

static void accept_begin(struct load *load, struct connection *connection) {
    tcp_open(load, connection);
    if (load->epoll_fd >= 0) {
        set_nonblocking(connection->fd);
        connection->wants_write = false;
        watch(load, connection);
    }
    tcp_begin(load, connection);
}

/* The byte after the batch: false when it is too early to tell. */
static bool is_at_end(struct connection *connection) {
    uint8_t extra;
    ssize_t count = recv(connection->fd, &extra, 1, 0);
    if (count == 0) {
        return true;
    }
    if (count > 0) {
        fail("corrupt", "connection %u: more came back than was sent", connection->index);
    }
    return false;
}

static void accept_finish(struct load *load, struct connection *connection) {
    tcp_finish(load, connection);
    if (!is_at_end(connection)) {
        fail_errno("recv (end of file)", connection);
    }
    close(connection->fd);
    connection->fd = -1;
}

static bool accept_progress(struct load *load, struct connection *connection, uint32_t events) {
    if (connection->received < load->batch_bytes && !tcp_progress(load, connection, events)) {
        return false;
    }
    if (!is_at_end(connection)) {
        if (errno != EAGAIN) {
            fail_errno("recv (end of file)", connection);
        }
        return false;
    }
    close(connection->fd);
    connection->fd = -1;
    return true;
}

static const struct exchange accept_exchange = {
    .open = accept_open, .begin = accept_begin, .finish = accept_finish, .progress = accept_progress};

const struct mode mode_accept = {
    .name = "accept", .exchange = &accept_exchange, .check = tcp_check, .warm_up = warm_up_exchange};
