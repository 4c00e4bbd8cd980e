/* The floor: what the same work costs in C with level-triggered epoll, one thread, no framework.
 *
 * One receive per event, one send, no second look for EAGAIN: the fewest system calls that readiness allows.
 * Usage: epoll_server WORKLOAD MESSAGE_BYTES. Prints {"port": N} when it serves. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define BUFFER_BYTES (64 * 1024)
#define DATAGRAM_BUFFER_BYTES (4 * 1024 * 1024)

struct server;

struct connection {
    int fd;
    bool wants_write;
    uint8_t *pending; /* echo: what the socket would not take yet; NULL mostly */
    size_t pending_bytes;
    size_t total_bytes;    /* received so far */
    uint8_t request[8];    /* bulk_send: the request as far as it has come */
    uint64_t left_bytes;   /* bulk_send: still to send */
};

struct workload {
    const char *name;
    int type;
    void (*ready)(struct server *server, struct connection *connection, uint32_t events);
};

struct server {
    int epoll_fd;
    int listen_fd;
    size_t message_bytes;
    uint64_t datagrams;
    uint64_t datagram_bytes;
    const struct workload *workload;
    uint8_t *message; /* bulk_send: the bytes i % 251 */
    uint8_t buffer[BUFFER_BYTES];
};

static _Noreturn void die(const char *what) {
    perror(what);
    exit(1);
}

static void drop(struct connection *connection) {
    close(connection->fd);
    free(connection->pending);
    free(connection);
}

static void watch(struct server *server, struct connection *connection, int operation) {
    struct epoll_event event = {.events = connection->wants_write ? EPOLLOUT : EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(server->epoll_fd, operation, connection->fd, &event) != 0) {
        die("epoll_ctl");
    }
}

static void want_write(struct server *server, struct connection *connection, bool wants_write) {
    if (connection->wants_write != wants_write) {
        connection->wants_write = wants_write;
        watch(server, connection, EPOLL_CTL_MOD);
    }
}

/* Bytes sent, 0 when the socket takes none now, -1 when the peer is gone. */
static ssize_t send_now(int fd, const uint8_t *data, size_t size_bytes) {
    ssize_t count = send(fd, data, size_bytes, MSG_NOSIGNAL);
    if (count >= 0) {
        return count;
    }
    return errno == EAGAIN ? 0 : -1;
}

/* True while the connection is there; keeps what the socket does not take. */
static bool echo_back(struct server *server, struct connection *connection, const uint8_t *data, size_t size_bytes) {
    ssize_t sent = send_now(connection->fd, data, size_bytes);
    if (sent < 0) {
        drop(connection);
        return false;
    }
    size_t left = size_bytes - (size_t)sent;
    if (left > 0) {
        uint8_t *rest = malloc(left);
        if (rest == NULL) {
            die("malloc");
        }
        memcpy(rest, data + sent, left);
        free(connection->pending);
        connection->pending = rest;
    } else {
        free(connection->pending);
        connection->pending = NULL;
    }
    connection->pending_bytes = left;
    want_write(server, connection, left > 0);
    return true;
}

static void echo_ready(struct server *server, struct connection *connection, uint32_t events) {
    if (events & EPOLLOUT) {
        echo_back(server, connection, connection->pending, connection->pending_bytes);
        return;
    }
    ssize_t count = recv(connection->fd, server->buffer, BUFFER_BYTES, 0);
    if (count <= 0) {
        drop(connection);
        return;
    }
    echo_back(server, connection, server->buffer, (size_t)count);
}

/* Echo of one message, then the server closes. */
static void accept_ready(struct server *server, struct connection *connection, uint32_t events) {
    if (events & EPOLLOUT) {
        if (!echo_back(server, connection, connection->pending, connection->pending_bytes)) {
            return;
        }
    } else {
        ssize_t count = recv(connection->fd, server->buffer, BUFFER_BYTES, 0);
        if (count <= 0) {
            drop(connection);
            return;
        }
        connection->total_bytes += (size_t)count;
        if (!echo_back(server, connection, server->buffer, (size_t)count)) {
            return;
        }
    }
    if (connection->total_bytes >= server->message_bytes && connection->pending_bytes == 0) {
        drop(connection);
    }
}

static void put_count(uint8_t *word, uint64_t value) {
    for (size_t i = 0; i < 8; i++) {
        word[i] = (uint8_t)(value >> (8 * i));
    }
}

static void bulk_receive_ready(struct server *server, struct connection *connection, uint32_t events) {
    (void)events;
    ssize_t count = recv(connection->fd, server->buffer, BUFFER_BYTES, 0);
    if (count > 0) {
        connection->total_bytes += (size_t)count;
        return;
    }
    if (count == 0) {
        uint8_t word[8];
        put_count(word, connection->total_bytes);
        send_now(connection->fd, word, sizeof word);
    }
    drop(connection);
}

static void bulk_send_ready(struct server *server, struct connection *connection, uint32_t events) {
    if (!(events & EPOLLOUT)) {
        ssize_t count = recv(connection->fd, connection->request + connection->total_bytes,
                             sizeof connection->request - connection->total_bytes, 0);
        if (count <= 0) {
            drop(connection);
            return;
        }
        connection->total_bytes += (size_t)count;
        if (connection->total_bytes < sizeof connection->request) {
            return;
        }
        connection->total_bytes = 0;
        uint64_t messages = 0;
        for (size_t i = 0; i < sizeof connection->request; i++) {
            messages |= (uint64_t)connection->request[i] << (8 * i);
        }
        connection->left_bytes = messages * server->message_bytes;
    }
    size_t place = (server->message_bytes - connection->left_bytes % server->message_bytes) % server->message_bytes;
    if (connection->left_bytes > 0) {
        ssize_t sent = send_now(connection->fd, server->message + place, server->message_bytes - place);
        if (sent < 0) {
            drop(connection);
            return;
        }
        connection->left_bytes -= (uint64_t)sent;
    }
    want_write(server, connection, connection->left_bytes > 0);
}

static void udp_ready(struct server *server, struct connection *connection, uint32_t events) {
    (void)events;
    bool is_echo = strcmp(server->workload->name, "udp_echo") == 0;
    struct sockaddr_in peer;
    for (;;) {
        socklen_t peer_bytes = sizeof peer;
        ssize_t count =
            recvfrom(connection->fd, server->buffer, BUFFER_BYTES, 0, (struct sockaddr *)&peer, &peer_bytes);
        if (count < 0) {
            return;
        }
        if (is_echo) {
            sendto(connection->fd, server->buffer, (size_t)count, 0, (struct sockaddr *)&peer, peer_bytes);
        } else if (count > 0) {
            server->datagrams++;
            server->datagram_bytes += (uint64_t)count;
        } else {
            uint8_t answer[16];
            put_count(answer, server->datagrams);
            put_count(answer + 8, server->datagram_bytes);
            sendto(connection->fd, answer, sizeof answer, 0, (struct sockaddr *)&peer, peer_bytes);
        }
    }
}

static const struct workload workloads[] = {
    {"echo", SOCK_STREAM, echo_ready},
    {"accept", SOCK_STREAM, accept_ready},
    {"bulk_receive", SOCK_STREAM, bulk_receive_ready},
    {"bulk_send", SOCK_STREAM, bulk_send_ready},
    {"udp_echo", SOCK_DGRAM, udp_ready},
    {"udp_receive", SOCK_DGRAM, udp_ready},
};

static struct connection *add(struct server *server, int fd) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) {
        die("calloc");
    }
    connection->fd = fd;
    watch(server, connection, EPOLL_CTL_ADD);
    return connection;
}

static void accept_all(struct server *server) {
    for (;;) {
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            add(server, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            die("accept4");
        }
    }
}

static int serve_socket(const struct workload *workload) {
    int fd = socket(AF_INET, workload->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, size_bytes = DATAGRAM_BUFFER_BYTES;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        die("bind");
    }
    if (workload->type == SOCK_DGRAM) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size_bytes, sizeof size_bytes);
    } else if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0 || listen(fd, 65535) != 0) {
        die("listen");
    }
    return fd;
}

static void announce(int fd) {
    struct sockaddr_in address;
    socklen_t size_bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size_bytes) != 0) {
        die("getsockname");
    }
    printf("{\"port\": %u}\n", ntohs(address.sin_port));
    fflush(stdout);
}

static _Noreturn void serve(struct server *server) {
    struct epoll_event events[EVENTS_MAX];
    bool is_stream = server->workload->type == SOCK_STREAM;
    for (;;) {
        int count = epoll_wait(server->epoll_fd, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR) {
            die("epoll_wait");
        }
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (is_stream && connection->fd == server->listen_fd) {
                accept_all(server);
            } else {
                server->workload->ready(server, connection, events[i].events);
            }
        }
    }
}

int main(int argument_count, char **arguments) {
    struct server *server = calloc(1, sizeof *server);
    if (server == NULL || argument_count != 3) {
        fprintf(stderr, "usage: epoll_server WORKLOAD MESSAGE_BYTES\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof workloads / sizeof workloads[0]; i++) {
        if (strcmp(workloads[i].name, arguments[1]) == 0) {
            server->workload = &workloads[i];
        }
    }
    server->message_bytes = strtoull(arguments[2], NULL, 10);
    if (server->workload == NULL || server->message_bytes == 0) {
        fprintf(stderr, "epoll_server: unknown workload or bad message size\n");
        return 2;
    }
    server->message = malloc(server->message_bytes);
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (server->message == NULL || server->epoll_fd < 0) {
        die("epoll_create1");
    }
    for (size_t i = 0; i < server->message_bytes; i++) {
        server->message[i] = (uint8_t)(i % 251);
    }
    server->listen_fd = serve_socket(server->workload);
    add(server, server->listen_fd);
    announce(server->listen_fd);
    serve(server);
}
