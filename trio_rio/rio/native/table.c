/* The core's functions as a table for an engine in C. */
#include "table.h"
#include "rio.h"

#include <stddef.h>

_Static_assert(sizeof(rio_table_result) == sizeof(rio_result) &&
                   offsetof(rio_table_result, request_context) == offsetof(rio_result, request_context),
               "one result, two names");
_Static_assert(sizeof(rio_table_event) == sizeof(rio_event) &&
                   offsetof(rio_table_event, key) == offsetof(rio_event, key) && RIO_TABLE_PACKET == RIO_EVENT_PACKET,
               "one event, two names");

static int receive(void *core, uint64_t queue, uint64_t buffer_id, uint32_t offset, uint32_t length, uint32_t flags,
                   uint64_t context) {
    return rio_receive(core, queue, buffer_id, offset, length, flags, context);
}

static int receive_ex(void *core, uint64_t queue, uint64_t buffer_id, uint32_t offset, uint32_t length,
                      uint64_t address_id, uint32_t address_offset, uint32_t flags, uint64_t context) {
    return rio_receive_from(core, queue, buffer_id, offset, length, address_id, address_offset, flags, context);
}

static int send_(void *core, uint64_t queue, uint64_t buffer_id, uint32_t offset, uint32_t length, uint32_t flags,
                 uint64_t context) {
    return rio_send(core, queue, buffer_id, offset, length, flags, context);
}

static uint32_t send_now(void *core, uint64_t queue, const char *data, uint32_t length) {
    return rio_send_now(core, queue, data, length);
}

static uint32_t receive_now(void *core, uint64_t queue, char *data, uint32_t length) {
    return rio_receive_now(core, queue, data, length);
}

static int64_t dequeue(void *core, uint64_t queue, rio_table_result *results, uint32_t limit) {
    return rio_dequeue(core, queue, (rio_result *)results, limit);
}

static int notify(void *core, uint64_t queue) { return rio_notify(core, queue); }

static int wait_(void *core, int64_t timeout_ns, rio_table_event *events, uint32_t limit) {
    return rio_wait(core, 0, timeout_ns, (rio_event *)events, limit);
}

static const rio_table table = {RIO_TABLE_VERSION, receive,  receive_ex, send_, send_now, receive_now,
                                dequeue, notify, wait_};

uint64_t rio_table_address(void) { return (uint64_t)(uintptr_t)&table; }
