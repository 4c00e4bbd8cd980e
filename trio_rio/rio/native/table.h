/* The functions that an engine in C calls, in a struct shaped like RIO_EXTENSION_FUNCTION_TABLE [mswsock.h]: with RIO's
 * own arguments, and the provider's handle first. A provider hands over the address of one. */
#ifndef TRIO_RIO_TABLE_H
#define TRIO_RIO_TABLE_H

#include <stdint.h>

/* Changes whenever this file does: an engine that was built with another one is refused. */
#define RIO_TABLE_VERSION 2

/* RIORESULT, with a native errno as status. */
typedef struct {
    int32_t status;
    uint32_t bytes_transferred;
    uint64_t socket_context;
    uint64_t request_context;
} rio_table_result;

/* Codes are 0 or those of the function table; what they mean is told by the provider, when Python makes the call again.
 * None of them waits. */
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
    /* How many results; bit 32: one has a status other than 0; negative: a code. */
    int64_t (*dequeue)(void *provider, uint64_t completion_queue, rio_table_result *results, uint32_t limit);
    int (*notify)(void *provider, uint64_t completion_queue);
} rio_table;

#endif
