/* What a program gets in place of the functions of ws2_32.dll: the same, and the books kept. */
#include "lane.h"

#include <mswsock.h>
#include <string.h>

static const GUID rio_id = {0x8509e081, 0x96dd, 0x4005, {0xb1, 0x65, 0x9e, 0x2e, 0xe8, 0xc7, 0x9e, 0x3f}};
static const GUID accept_ex_id = {0xb5367df1, 0xcbac, 0x11cf, {0x95, 0xca, 0x00, 0x80, 0x5f, 0x48, 0xa1, 0x92}};
static LPFN_ACCEPTEX real_accept_ex;

/* Keep the books of a new socket; the last error stays as it is. */
static SOCKET noted(SOCKET socket, bool is_rio) {
    if (socket != INVALID_SOCKET) {
        EnterCriticalSection(&lane_lock);
        remember(socket, is_rio);
        LeaveCriticalSection(&lane_lock);
    }
    return socket;
}

static bool is_rio(SOCKET socket) {
    EnterCriticalSection(&lane_lock);
    struct socket_entry *entry = entry_of(socket);
    bool is = entry != NULL && entry->is_rio;
    LeaveCriticalSection(&lane_lock);
    return is;
}

/* Wine ignores the RIO flag, and a socket without WSA_FLAG_OVERLAPPED blocks its overlapped calls. */
static DWORD flags_for_wine(DWORD flags) {
    return flags & REGISTERED_IO_FLAG ? (flags & ~REGISTERED_IO_FLAG) | WSA_FLAG_OVERLAPPED : flags;
}

static SOCKET WINAPI lane_WSASocketW(int family, int type, int protocol, WSAPROTOCOL_INFOW *info, GROUP group,
                                     DWORD flags) {
    SOCKET made = WSASocketW(family, type, protocol, info, group, flags_for_wine(flags));
    return noted(made, flags & REGISTERED_IO_FLAG);
}

static SOCKET WINAPI lane_WSASocketA(int family, int type, int protocol, WSAPROTOCOL_INFOA *info, GROUP group,
                                     DWORD flags) {
    SOCKET made = WSASocketA(family, type, protocol, info, group, flags_for_wine(flags));
    return noted(made, flags & REGISTERED_IO_FLAG);
}

static SOCKET WINAPI lane_socket(int family, int type, int protocol) {
    return noted(socket(family, type, protocol), false);
}

/* An accepted socket is like its listener. */
static SOCKET WINAPI lane_accept(SOCKET listener, struct sockaddr *address, int *length) {
    return noted(accept(listener, address, length), is_rio(listener));
}

static SOCKET WINAPI lane_WSAAccept(SOCKET listener, struct sockaddr *address, int *length, LPCONDITIONPROC condition,
                                    DWORD_PTR data) {
    return noted(WSAAccept(listener, address, length, condition, data), is_rio(listener));
}

/* A socket for AcceptEx with the flag, and a listener without: receives are taken and never end. */
static BOOL WINAPI lane_AcceptEx(SOCKET listener, SOCKET accepting, void *output, DWORD data_length,
                                 DWORD local_length, DWORD remote_length, DWORD *received, OVERLAPPED *overlapped) {
    if (is_rio(accepting)) {
        if (data_length > 0) misuse("AcceptEx", "a RIO socket must not receive data with AcceptEx");
        EnterCriticalSection(&lane_lock);
        struct socket_entry *from = entry_of(listener), *entry = entry_of(accepting);
        entry->is_deaf = from == NULL || !from->is_rio;
        if (entry->queue != NULL) entry->queue->is_deaf = entry->is_deaf;
        LeaveCriticalSection(&lane_lock);
    }
    return real_accept_ex(listener, accepting, output, data_length, local_length, remote_length, received, overlapped);
}

/* closesocket of Wine leaves overlapped calls pending, so they are ended first. */
static int WINAPI lane_closesocket(SOCKET socket) {
    EnterCriticalSection(&lane_lock);
    struct socket_entry *entry = entry_of(socket);
    struct request_queue *queue = entry != NULL ? entry->queue : NULL;
    forget_socket(socket);
    LeaveCriticalSection(&lane_lock);
    if (queue != NULL) {
        bool has_entered = enter(&queue->user, "closesocket", "request queue");
        EnterCriticalSection(&lane_lock);
        close_request_queue(queue);
        LeaveCriticalSection(&lane_lock);
        leave(&queue->user, has_entered);
    }
    return closesocket(socket);
}

static int fail(int error) {
    WSASetLastError(error);
    return SOCKET_ERROR;
}

/* The ioctl that gives the function table. */
static int give_table(SOCKET socket, const void *input, DWORD input_size, void *output, DWORD output_size,
                      DWORD *size) {
    int type, type_size = sizeof type;
    if (getsockopt(socket, SOL_SOCKET, SO_TYPE, (char *)&type, &type_size) != 0) return fail(WSAENOTSOCK);
    if (input == NULL || input_size < sizeof rio_id) return fail(WSAEFAULT);
    if (memcmp(input, &rio_id, sizeof rio_id) != 0) return fail(WSAEINVAL);
    if (knobs.refuse) return fail(WSAEOPNOTSUPP);
    if (output == NULL || output_size < sizeof rio_table || size == NULL) return fail(WSAEFAULT);
    memcpy(output, &rio_table, sizeof rio_table);
    *size = sizeof rio_table;
    return 0;
}

/* Sockets of Wine have no layers: each is its own base. Wine 8 refuses to say so. */
static int give_base(SOCKET socket, void *output, DWORD output_size, DWORD *size) {
    if (output == NULL || output_size < sizeof socket || size == NULL) return fail(WSAEFAULT);
    memcpy(output, &socket, sizeof socket);
    *size = sizeof socket;
    return 0;
}

static int WINAPI lane_WSAIoctl(SOCKET socket, DWORD code, void *input, DWORD input_size, void *output,
                                DWORD output_size, DWORD *size, WSAOVERLAPPED *overlapped,
                                LPWSAOVERLAPPED_COMPLETION_ROUTINE routine) {
    if (code == GET_MULTIPLE_EXTENSION_FUNCTION_POINTER)
        return give_table(socket, input, input_size, output, output_size, size);
    bool asks_for_base = code == BSP_HANDLE || code == BSP_HANDLE_SELECT || code == BSP_HANDLE_POLL;
    bool asks_for_function = code == GET_EXTENSION_FUNCTION_POINTER;
    if (knobs.refuse_ioctls && !asks_for_base && !asks_for_function && code != BASE_HANDLE) return fail(WSAEOPNOTSUPP);
    int result = WSAIoctl(socket, code, input, input_size, output, output_size, size, overlapped, routine);
    if (result != 0 && asks_for_base && WSAGetLastError() == WSAEOPNOTSUPP)
        return give_base(socket, output, output_size, size);
    if (result == 0 && asks_for_function && memcmp(input, &accept_ex_id, sizeof accept_ex_id) == 0) {
        memcpy(&real_accept_ex, output, sizeof real_accept_ex);
        LPFN_ACCEPTEX ours = lane_AcceptEx;
        memcpy(output, &ours, sizeof ours);
    }
    return result;
}

struct replacement replacements[] = {
    {"WSAAccept", lane_WSAAccept, NULL},
    {"WSAIoctl", lane_WSAIoctl, NULL},
    {"WSASocketA", lane_WSASocketA, NULL},
    {"WSASocketW", lane_WSASocketW, NULL},
    {"accept", lane_accept, NULL},
    {"closesocket", lane_closesocket, NULL},
    {"socket", lane_socket, NULL},
    {NULL, NULL, NULL},
};
