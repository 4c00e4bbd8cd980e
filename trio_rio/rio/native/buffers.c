/* The registry of buffers.
 *
 * Facts. RIO wants every slice inside one registration, and the memory to stay until the completion is
 * dequeued. A plain io_uring send or receive takes an address, not a registered buffer; it copies, and needs no
 * pinned memory.
 * Consequence. Registration can be a table in user space that checks slices: it costs no locked memory, and the
 * limit on locked memory cannot end a program.
 * Decision. An id is slot | generation << 32. A deregistered id is dead at once for new requests; its slot is
 * reused only when the last request that used it has been dequeued.
 */
#include "core.h"

static struct buffer *find(rio_core *core, uint64_t id, uint32_t *slot) {
    *slot = (uint32_t)id;
    struct buffer *buffer = *slot ? slab_at(&core->buffers, *slot) : NULL;
    return buffer && buffer->generation == id >> 32 ? buffer : NULL;
}

static void give_back(rio_core *core, struct buffer *buffer, uint32_t slot) {
    buffer->memory = NULL;
    buffer->generation = (buffer->generation + 1) & 0x7fffffff;
    buffer->generation += buffer->generation == 0;
    buffer->next_free = core->free_buffer;
    core->free_buffer = slot;
}

int rio_register_buffer(rio_core *core, char *memory, uint64_t length, int is_read_only, uint64_t *buffer_id) {
    if (length == 0 || length > UINT32_MAX)
        return RIO_E_INVAL;
    int error = core_enter(core);
    if (error)
        return error;
    uint32_t slot = core->free_buffer;
    if (slot) {
        core->free_buffer = ((struct buffer *)slab_at(&core->buffers, slot))->next_free;
    } else if (slab_add(&core->buffers, &slot)) {
        core_leave(core);
        return RIO_E_NOBUFS;
    }
    struct buffer *buffer = slab_at(&core->buffers, slot);
    buffer->generation += buffer->generation == 0;
    buffer->memory = memory;
    buffer->length = length;
    buffer->is_registered = true;
    buffer->is_read_only = is_read_only;
    assert(buffer->uses == 0);
    *buffer_id = make_handle(slot, buffer->generation);
    core_leave(core);
    return 0;
}

int rio_deregister_buffer(rio_core *core, uint64_t buffer_id) {
    uint32_t slot;
    if (core_enter(core))
        return -1;
    struct buffer *buffer = find(core, buffer_id, &slot);
    int uses = -1;
    if (buffer && buffer->is_registered) {
        buffer->is_registered = false;
        uses = (int)buffer->uses;
        if (!uses)
            give_back(core, buffer, slot);
    }
    core_leave(core);
    return uses;
}

int rio_buffer_uses(rio_core *core, uint64_t buffer_id) {
    uint32_t slot;
    if (core_enter(core))
        return 0;
    struct buffer *buffer = find(core, buffer_id, &slot);
    int uses = buffer ? (int)buffer->uses : 0;
    core_leave(core);
    return uses;
}

int buffer_take(rio_core *core, uint64_t id, uint64_t offset, uint64_t length, bool for_writing, uint32_t *slot,
                char **address) {
    struct buffer *buffer = find(core, id, slot);
    if (!buffer || !buffer->is_registered || (for_writing && buffer->is_read_only))
        return RIO_E_FAULT;
    if (offset + length > buffer->length)
        return RIO_E_INVAL;
    buffer->uses++;
    *address = buffer->memory + offset;
    return 0;
}

void buffer_release(rio_core *core, uint32_t slot) {
    if (!slot)
        return;
    struct buffer *buffer = slab_at(&core->buffers, slot);
    assert(buffer->uses > 0);
    if (--buffer->uses == 0 && !buffer->is_registered)
        give_back(core, buffer, slot);
}
