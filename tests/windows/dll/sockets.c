/* What is known of the sockets of this process: with the RIO flag or without, and their request queue. */
#include "lane.h"

#include <stdlib.h>

enum { BUCKETS = 1024 };
static struct socket_entry *buckets[BUCKETS];

static struct socket_entry **bucket_of(SOCKET socket) { return &buckets[(socket >> 2) % BUCKETS]; }

struct socket_entry *entry_of(SOCKET socket) {
    struct socket_entry *entry = *bucket_of(socket);
    while (entry != NULL && entry->socket != socket) entry = entry->next;
    return entry;
}

/* A socket was made. Its number may have belonged to one that was closed behind our back. */
struct socket_entry *remember(SOCKET socket, bool is_rio) {
    struct socket_entry *entry = entry_of(socket);
    if (entry != NULL && entry->queue != NULL)
        misuse("closesocket", "socket %#llx with a request queue was closed in another way", (ULONGLONG)socket);
    if (entry == NULL) {
        entry = calloc(1, sizeof *entry);
        if (entry == NULL) return NULL;
        entry->socket = socket;
        entry->next = *bucket_of(socket);
        *bucket_of(socket) = entry;
    }
    entry->is_rio = is_rio;
    entry->is_deaf = false;
    entry->queue = NULL;
    return entry;
}

void forget_socket(SOCKET socket) {
    for (struct socket_entry **link = bucket_of(socket); *link != NULL; link = &(*link)->next) {
        struct socket_entry *entry = *link;
        if (entry->socket != socket) continue;
        *link = entry->next;
        free(entry);
        return;
    }
}
