/* The functions that an engine in C calls, in a struct shaped like RIO_EXTENSION_FUNCTION_TABLE [mswsock.h]: with RIO's
 * own arguments, and the provider's handle first. A provider hands over the address of one. */
#ifndef TRIO_RIO_TABLE_H
#define TRIO_RIO_TABLE_H

#include <stdint.h>

/* Changes whenever this file does: an engine that was built with another one is refused. */
#define RIO_TABLE_VERSION 4

/* RIORESULT, with a native errno as status. */
typedef struct {
    int32_t status;
    uint32_t bytes_transferred;
    uint64_t socket_context;
    uint64_t request_context;
} rio_table_result;

/* What a wait brings. A packet has the completion key of its queue; of what else there is, the provider says. */
#define RIO_TABLE_PACKET 1
typedef struct {
    uint32_t kind;
    int32_t result;
    uint64_t key;
} rio_table_event;

/* Codes are 0 or those of the function table; what they mean is told by the provider, when Python makes the call again.
 * Only one of them waits. */
typedef struct {
    uint32_t version;
    int (*receive)(void *provider, uint64_t request_queue, uint64_t buffer_id, uint32_t offset, uint32_t length,
                   uint32_t flags, uint64_t context);
    /* Of a datagram, with the address of its sender. */
    int (*receive_ex)(void *provider, uint64_t request_queue, uint64_t buffer_id, uint32_t offset, uint32_t length,
                      uint64_t address_id, uint32_t address_offset, uint32_t flags, uint64_t context);
    int (*send)(void *provider, uint64_t request_queue, uint64_t buffer_id, uint32_t offset, uint32_t length,
                uint32_t flags, uint64_t context);
    /* Past the queue, if nothing of it is overtaken: how many bytes went; NULL where there is no such call. */
    uint32_t (*send_now)(void *provider, uint64_t request_queue, const char *data, uint32_t length);
    /* The same: how many bytes came; 0: nothing is there, or something that a request is told. */
    uint32_t (*receive_now)(void *provider, uint64_t request_queue, char *data, uint32_t length);
    /* How many results; bit 32: one has a status other than 0; negative: a code. */
    int64_t (*dequeue)(void *provider, uint64_t completion_queue, rio_table_result *results, uint32_t limit);
    int (*notify)(void *provider, uint64_t completion_queue);
    /* Starts what is deferred, and waits at the provider's own port; a negative time has no end. For the thread that
     * made the provider, without the GIL. How many events; 0: the full time is over; negative: an errno. NULL where
     * there is no such call. */
    int (*wait)(void *provider, int64_t timeout_ns, rio_table_event *events, uint32_t limit);
} rio_table;

#endif
