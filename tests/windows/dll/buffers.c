/* Registered buffers, and slices of them. */
#include "lane.h"

#include <stdlib.h>

static struct request *outstanding; /* all that are posted and not dequeued */

/* Whether all of the memory can be written: read-only pages cannot be registered. */
static bool is_writable(const char *memory, DWORD length) {
    const DWORD writable = PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
    const char *end = memory + length;
    while (memory < end) {
        MEMORY_BASIC_INFORMATION region;
        if (VirtualQuery(memory, &region, sizeof region) == 0) return false;
        if (region.State != MEM_COMMIT || !(region.Protect & writable)) return false;
        memory = (const char *)region.BaseAddress + region.RegionSize;
    }
    return true;
}

RIO_HANDLE WINAPI register_buffer(char *memory, DWORD length) {
    int error = length == 0 ? WSAEINVAL : memory == NULL || !is_writable(memory, length) ? WSAEFAULT : 0;
    if (knobs.refuse_memory) error = WSAEFAULT;
    struct buffer *buffer = error ? NULL : calloc(1, sizeof *buffer);
    if (error == 0 && buffer == NULL) error = WSAENOBUFS;
    if (error) {
        WSASetLastError(error);
        return INVALID_BUFFER_ID;
    }
    buffer->memory = memory;
    buffer->length = length;
    EnterCriticalSection(&lane_lock);
    buffer->handle = new_handle(BUFFER, buffer);
    LeaveCriticalSection(&lane_lock);
    return buffer->handle;
}

void WINAPI deregister_buffer(RIO_HANDLE handle) {
    EnterCriticalSection(&lane_lock);
    struct buffer *buffer = object_of(BUFFER, handle);
    if (buffer != NULL) { /* an invalid id is ignored, says the documentation */
        if (buffer->uses > 0) misuse("RIODeregisterBuffer", "a request that is not dequeued uses the buffer");
        buffer->is_dead = true;
    }
    LeaveCriticalSection(&lane_lock);
}

/* Check a slice of a request. NULL is no slice. */
bool take_slice(const char *function, const struct rio_buf *slice, struct slice *taken, int *error) {
    *taken = (struct slice){0};
    if (slice == NULL) return true;
    struct buffer *buffer = object_of(BUFFER, slice->buffer);
    if (buffer == NULL || buffer->is_dead) {
        misuse(function, "buffer id %#llx is %s", slice->buffer, buffer ? "deregistered" : "no buffer's");
        *error = WSAEFAULT;
        return false;
    }
    if ((ULONGLONG)slice->offset + slice->length > buffer->length) {
        misuse(function, "slice %lu + %lu is outside its registration of %lu bytes", slice->offset, slice->length,
               buffer->length);
        *error = WSAEINVAL;
        return false;
    }
    *taken = (struct slice){buffer, buffer->memory + slice->offset, slice->length};
    return true;
}

static bool overlap(const struct slice *one, const struct slice *other) {
    return one->memory < other->memory + other->length && other->memory < one->memory + one->length;
}

/* Memory of a receive is the kernel's alone; memory of a send may be sent twice, but not received into. Memory counts,
 * not its registration: the same memory may be registered twice. */
static void report_overlaps(const char *function, const struct request *request) {
    for (const struct request *other = outstanding; other != NULL; other = other->next_outstanding) {
        if (request->direction == SEND && other->direction == SEND) continue;
        for (int i = 0; i < SLICES * SLICES; i++) {
            if (overlap(&request->slices[i / SLICES], &other->slices[i % SLICES])) {
                misuse(function, "the slice overlaps one of a request that is not dequeued");
                return;
            }
        }
    }
}

/* Tells whether somebody has written into the memory of a send. */
static ULONG checksum_of(const struct request *request) {
    ULONG sum = 0;
    for (int i = 0; i < SLICES; i++) {
        const struct slice *slice = &request->slices[i];
        for (ULONG j = 0; j < slice->length; j++) sum = sum * 31 + (unsigned char)slice->memory[j];
    }
    return sum;
}

/* The kernel has the memory of the request from now on. */
void hold_slices(const char *function, struct request *request) {
    report_overlaps(function, request);
    for (int i = 0; i < SLICES; i++)
        if (request->slices[i].buffer != NULL) request->slices[i].buffer->uses++;
    if (request->direction == SEND) request->checksum = checksum_of(request);
    request->next_outstanding = outstanding;
    if (outstanding != NULL) outstanding->previous_outstanding = request;
    outstanding = request;
}

void let_slices_go(struct request *request) {
    bool is_there = true; /* what is deregistered, which was reported, may be freed */
    for (int i = 0; i < SLICES; i++) {
        struct buffer *buffer = request->slices[i].buffer;
        if (buffer == NULL) continue;
        buffer->uses--;
        is_there &= !buffer->is_dead;
    }
    if (request->direction == SEND && is_there && request->checksum != checksum_of(request))
        misuse("RIOSend", "memory of the send was changed before it was dequeued");
    struct request *next = request->next_outstanding, *previous = request->previous_outstanding;
    if (next != NULL) next->previous_outstanding = previous;
    if (previous != NULL) previous->next_outstanding = next;
    if (outstanding == request) outstanding = next;
}
