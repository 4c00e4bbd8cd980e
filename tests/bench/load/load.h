/* The load generator: one process, one thread, loopback only.
 *
 * Facts. The server is what is measured, so whatever drives it must be cheaper than it is and must not share
 * its process. A figure of CPU per message needs a load that is the same for each server; a figure of
 * messages per second needs a load that never waits for more than the server.
 *
 * Consequence. There are two disciplines. "lockstep": blocking sockets, send on all connections, then receive
 * from all, so that the wake-up of a server on the same CPU sees every message. "rate": a closed loop on another
 * CPU, each connection for itself, that polls epoll without ever sleeping.
 *
 * Decision. What differs between TCP echo, UDP echo and accept is one exchange on one connection (struct
 * exchange); the two loops over exchanges are in exchange.c. Bulk transfer and one-way datagrams have no
 * exchange per message and bring their own loop (struct mode).
 *
 * Talk with the parent: "ready" on stdout when every connection works; a line on stdin starts the run; the
 * result is one line of JSON; a second line (or end of file) on stdin closes the connections. The parent can
 * read the server's counters between these lines, with no set-up and no tear-down inside. */

#ifndef TRIO_RIO_BENCH_LOAD_H
#define TRIO_RIO_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UDP_PIPELINE_MAX 64 /* one bit each in connection.seen */
#define INPUT_SIZE_BYTES (256 * 1024)

struct options {
    const char *mode;
    struct sockaddr_in address;
    bool is_rate;
    bool waits_for_parent;
    size_t connections;
    size_t message_bytes;
    size_t pipeline;
    double seconds;
    double timeout_seconds;
    double messages_per_second; /* one-way datagrams in rate: 0 is full speed */
    uint64_t messages_max;      /* 0: no bound but time */
    int exchanges;              /* of hold: on each connection, before it is left alone */
};

struct connection {
    int fd;
    uint32_t index;
    bool wants_write;    /* registered for EPOLLOUT */
    uint64_t sequence;   /* number of the first message of this batch */
    size_t sent;         /* bytes of this batch */
    size_t received;     /* bytes of this batch */
    uint64_t seen;       /* datagrams of this batch that came back, a bit each */
    uint64_t started_ns; /* when the batch began */
    uint64_t bulk_bytes; /* bulk modes: bytes sent or received in all */
};

#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_BUCKETS ((64 - HISTOGRAM_SUB_BITS) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count;
    uint64_t max_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

struct load;

/* One batch of messages and its answers on one connection. */
struct exchange {
    void (*open)(struct load *load, struct connection *connection);
    void (*begin)(struct load *load, struct connection *connection);
    void (*finish)(struct load *load, struct connection *connection);                      /* blocking */
    bool (*progress)(struct load *load, struct connection *connection, uint32_t events); /* true: batch done */
};

struct mode {
    const char *name;
    const struct exchange *exchange;
    void (*check)(const struct options *options); /* refuse options that cannot work */
    void (*warm_up)(struct load *load);
    void (*run)(struct load *load); /* NULL: the loop of the discipline over the exchange */
};

struct load {
    struct options options;
    const struct mode *mode;
    struct connection *connections;
    size_t batch_bytes; /* message_bytes * pipeline */
    uint8_t *pattern;   /* message_bytes + 256 */
    uint8_t *out;       /* batch_bytes */
    uint8_t *in;        /* INPUT_SIZE_BYTES */
    int epoll_fd;
    uint64_t deadline_ns;
    uint64_t started_ns;
    uint64_t ended_ns;
    uint64_t messages; /* that the server handled, as far as the peer can know */
    uint64_t bytes;    /* payload of these, one direction */
    uint64_t offered;  /* one-way datagrams: sent, delivered or not */
    uint64_t counted;  /* one-way datagrams: the server's count at the last look */
    uint64_t spun_ns;  /* rate: spent on asking epoll in vain */
    struct histogram latency;
};

extern const struct mode mode_echo;
extern const struct mode mode_hold;
extern const struct mode mode_accept;
extern const struct mode mode_udp_echo;
extern const struct mode mode_udp_receive;
extern const struct mode mode_bulk_receive;
extern const struct mode mode_bulk_send;

/* common.c */
_Noreturn void fail(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void fail_errno(const char *what, const struct connection *connection);
uint64_t now_ns(void);
uint64_t cpu_ns(void);
uint64_t ns_of(double seconds);
void *allocate(size_t size_bytes);
bool has_time(const struct load *load);
int socket_open(const struct load *load, int type);
void set_nonblocking(int fd);
void send_all(struct connection *connection, const uint8_t *data, size_t size_bytes);
size_t receive_some(struct connection *connection, uint8_t *into, size_t size_bytes_max);
void receive_exactly(struct connection *connection, uint8_t *into, size_t size_bytes);

/* pattern.c */
void pattern_make(struct load *load);
void pattern_fill(const struct load *load, const struct connection *connection, uint8_t *out, size_t count);
void pattern_check(const struct load *load, const struct connection *connection, size_t offset, const uint8_t *data,
                   size_t size_bytes);
uint64_t pattern_sequence(const uint8_t *data);

/* histogram.c */
void histogram_add(struct histogram *histogram, uint64_t value_ns);
uint64_t histogram_percentile_ns(const struct histogram *histogram, double fraction);

/* exchange.c */
void run_lockstep(struct load *load);
void run_rate(struct load *load);
void warm_up_exchange(struct load *load);
void warm_up_to_stay(struct load *load);
void warm_up_to_hold(struct load *load);
void watch(struct load *load, struct connection *connection);

/* tcp.c, shared with accept.c */
void tcp_open(struct load *load, struct connection *connection);
void tcp_begin(struct load *load, struct connection *connection);
void tcp_finish(struct load *load, struct connection *connection);
bool tcp_progress(struct load *load, struct connection *connection, uint32_t events);
void tcp_check(const struct options *options);

#endif
