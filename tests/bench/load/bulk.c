/* Bytes in one direction as fast as they go. Blocking sockets in both disciplines, each connection in its turn:
 * kernel buffers keep the server busy on the others, and the disciplines differ in their CPUs alone.
 *
 * bulk_receive: the server receives until end of file and answers with the count, eight bytes little-endian.
 * bulk_send: a request is eight bytes, how many messages to send; a message is the bytes i % 251. */

#include "load.h"

#include <string.h>
#include <sys/socket.h>

#define REQUEST_NS 20000000 /* so long that a request itself costs nothing, so short that the run ends in time */

static void bulk_check(const struct options *options) {
    if (options->pipeline != 1) {
        fail("usage", "bulk transfer has no pipeline (it must be 1)");
    }
}

static uint64_t read_count(struct connection *connection) {
    uint8_t word[8];
    receive_exactly(connection, word, sizeof word);
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof word; i++) {
        value |= (uint64_t)word[i] << (8 * i);
    }
    return value;
}

static void no_warm_up(struct load *load) {
    (void)load;
}

static void bulk_receive_run(struct load *load) {
    size_t message_bytes = load->options.message_bytes;
    while (has_time(load)) {
        for (size_t i = 0; i < load->options.connections; i++) {
            struct connection *connection = &load->connections[i];
            send_all(connection, load->pattern, message_bytes);
            connection->bulk_bytes += message_bytes;
        }
        load->messages += load->options.connections;
    }
    for (size_t i = 0; i < load->options.connections; i++) {
        if (shutdown(load->connections[i].fd, SHUT_WR) != 0) {
            fail_errno("shutdown", &load->connections[i]);
        }
    }
    for (size_t i = 0; i < load->options.connections; i++) {
        struct connection *connection = &load->connections[i];
        uint64_t count = read_count(connection);
        if (count != connection->bulk_bytes) {
            fail("count_mismatch", "connection %u: the server counted %llu bytes of %llu", connection->index,
                 (unsigned long long)count, (unsigned long long)connection->bulk_bytes);
        }
        load->bytes += count;
    }
}

static void request(struct connection *connection, uint64_t messages) {
    uint8_t word[8];
    for (size_t i = 0; i < sizeof word; i++) {
        word[i] = (uint8_t)(messages >> (8 * i));
    }
    send_all(connection, word, sizeof word);
}

static void receive_message(struct load *load, struct connection *connection) {
    size_t place = 0;
    while (place < load->options.message_bytes) {
        size_t left = load->options.message_bytes - place;
        size_t count = receive_some(connection, load->in, left < INPUT_SIZE_BYTES ? left : INPUT_SIZE_BYTES);
        if (memcmp(load->in, load->pattern + place, count) != 0) {
            fail("corrupt", "connection %u: bulk data differs at or after byte %zu of a message", connection->index,
                 place);
        }
        place += count;
    }
    connection->sequence++;
}

static void receive_messages(struct load *load, uint64_t messages) {
    for (size_t i = 0; i < load->options.connections; i++) {
        request(&load->connections[i], messages);
    }
    for (uint64_t message = 0; message < messages; message++) {
        for (size_t i = 0; i < load->options.connections; i++) {
            receive_message(load, &load->connections[i]);
        }
    }
}

static void bulk_send_warm_up(struct load *load) {
    receive_messages(load, 1);
}

static void bulk_send_run(struct load *load) {
    uint64_t messages = 1;
    while (has_time(load)) {
        uint64_t began_ns = now_ns();
        receive_messages(load, messages);
        load->messages += messages * load->options.connections;
        if (now_ns() - began_ns < REQUEST_NS) {
            messages *= 2;
        }
    }
    load->bytes = load->messages * load->options.message_bytes;
}

static const struct exchange bulk_exchange = {.open = tcp_open};

const struct mode mode_bulk_receive = {.name = "bulk_receive",
                                       .exchange = &bulk_exchange,
                                       .check = bulk_check,
                                       .warm_up = no_warm_up,
                                       .run = bulk_receive_run};

const struct mode mode_bulk_send = {.name = "bulk_send",
                                    .exchange = &bulk_exchange,
                                    .check = bulk_check,
                                    .warm_up = bulk_send_warm_up,
                                    .run = bulk_send_run};
