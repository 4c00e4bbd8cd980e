/* What a message contains, and whether that came back.
 *
 * Each message begins with eight bytes: the connection's index and the message's number, little-endian with
 * the number first, so that even one byte tells neighbours apart. The rest is a window of one fixed pattern,
 * shifted by the number. A byte that is changed, lost, doubled, out of order or of another connection shows;
 * making and checking are a memcpy and a memcmp. */

#include "load.h"

#include <string.h>

#define HEADER_BYTES 8
#define SHIFTS 251 /* prime, so that no power-of-two slip goes unseen */
#define SEQUENCE_BITS 40

static size_t header_bytes(const struct load *load) {
    return load->options.message_bytes < HEADER_BYTES ? load->options.message_bytes : HEADER_BYTES;
}

static void header_make(const struct connection *connection, uint64_t sequence, uint8_t *header) {
    uint64_t word = (sequence & (((uint64_t)1 << SEQUENCE_BITS) - 1)) | (uint64_t)connection->index << SEQUENCE_BITS;
    for (size_t i = 0; i < HEADER_BYTES; i++) {
        header[i] = (uint8_t)(word >> (8 * i));
    }
}

void pattern_make(struct load *load) {
    size_t size_bytes = load->options.message_bytes + 256;
    load->pattern = allocate(size_bytes);
    for (size_t i = 0; i < size_bytes; i++) {
        load->pattern[i] = (uint8_t)(i % SHIFTS); /* the servers of bulk_send make the same */
    }
}

void pattern_fill(const struct load *load, const struct connection *connection, uint8_t *out, size_t count) {
    size_t message_bytes = load->options.message_bytes;
    size_t head = header_bytes(load);
    for (size_t i = 0; i < count; i++, out += message_bytes) {
        uint8_t header[HEADER_BYTES];
        uint64_t sequence = connection->sequence + i;
        header_make(connection, sequence, header);
        memcpy(out, header, head);
        memcpy(out + head, load->pattern + sequence % SHIFTS, message_bytes - head);
    }
}

static _Noreturn void fail_corrupt(const struct connection *connection, uint64_t sequence, size_t offset) {
    fail("corrupt", "connection %u, message %llu: what came back differs at or after byte %zu", connection->index,
         (unsigned long long)sequence, offset);
}

/* Checks size_bytes of the answer to the present batch; offset is their place in the batch. */
void pattern_check(const struct load *load, const struct connection *connection, size_t offset, const uint8_t *data,
                   size_t size_bytes) {
    size_t message_bytes = load->options.message_bytes;
    size_t head = header_bytes(load);
    while (size_bytes > 0) {
        uint64_t sequence = connection->sequence + offset / message_bytes;
        size_t place = offset % message_bytes;
        size_t end = message_bytes;
        const uint8_t *expected;
        uint8_t header[HEADER_BYTES];
        if (place < head) {
            header_make(connection, sequence, header);
            expected = header + place;
            end = head;
        } else {
            expected = load->pattern + sequence % SHIFTS + (place - head);
        }
        size_t count = end - place < size_bytes ? end - place : size_bytes;
        if (memcmp(data, expected, count) != 0) {
            fail_corrupt(connection, sequence, place);
        }
        data += count;
        offset += count;
        size_bytes -= count;
    }
}

/* The number that a datagram claims to have; its contents are checked afterwards. */
uint64_t pattern_sequence(const uint8_t *data) {
    uint64_t word = 0;
    for (size_t i = 0; i < HEADER_BYTES; i++) {
        word |= (uint64_t)data[i] << (8 * i);
    }
    return word & (((uint64_t)1 << SEQUENCE_BITS) - 1);
}
