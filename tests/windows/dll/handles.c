/* Handles: numbers that look like pointers and are never used twice. */
#include "lane.h"

#include <stdlib.h>

CRITICAL_SECTION lane_lock;

/* A handle is BASE + 16 * index + kind. */
#define BASE ((RIO_HANDLE)0x0000521000000000)

static void **objects;
static size_t count, room;

RIO_HANDLE new_handle(enum kind kind, void *object) {
    if (count == room) {
        size_t more = room ? 2 * room : 256;
        void **moved = realloc(objects, more * sizeof *objects);
        if (moved == NULL) return 0;
        objects = moved;
        room = more;
    }
    objects[count] = object;
    return BASE + 16 * count++ + kind;
}

void *object_of(enum kind kind, RIO_HANDLE handle) {
    if (handle < BASE || (handle - BASE) % 16 != kind) return NULL;
    size_t index = (handle - BASE) / 16;
    return index < count ? objects[index] : NULL;
}
