/* The declarations of Registered I/O, written down once more from its documentation: mingw has none.
 *
 * [Microsoft Learn: mswsock.h, mswsockdef.h, their sizes and offsets on x64] */
#ifndef LANE_RIO_H
#define LANE_RIO_H

#define WIN32_LEAN_AND_MEAN
#include <winsock2.h>
#include <ws2tcpip.h>
#include <windows.h>
#include <stdbool.h>
#include <stddef.h>

typedef ULONG_PTR RIO_HANDLE; /* RIO_BUFFERID, RIO_CQ, RIO_RQ */

enum {
    MSG_DONT_NOTIFY = 1,
    MSG_DEFER = 2,
    MSG_WAIT_FOR_ALL = 4,
    MSG_COMMIT_ONLY = 8,
    MSG_ALL = 15,
};
#define INVALID_BUFFER_ID ((RIO_HANDLE)0xFFFFFFFF)
#define MAX_CQ_SIZE 0x8000000u
#define CORRUPT_CQ 0xFFFFFFFFu
#define REGISTERED_IO_FLAG 0x100u
#define SOCKADDR_INET_SIZE 28u
#define CMSG_BASE_SIZE 8u /* RIO_CMSG_BUFFER, rounded up to the alignment of a control message */

#define GET_MULTIPLE_EXTENSION_FUNCTION_POINTER 0xC8000024u
#define GET_EXTENSION_FUNCTION_POINTER 0xC8000006u
#define BASE_HANDLE 0x48000022u
#define BSP_HANDLE 0x4800001Bu
#define BSP_HANDLE_SELECT 0x4800001Cu
#define BSP_HANDLE_POLL 0x4800001Du

struct rio_result {
    LONG status;
    ULONG bytes_transferred;
    ULONGLONG socket_context;
    ULONGLONG request_context;
};

struct rio_buf {
    RIO_HANDLE buffer;
    ULONG offset;
    ULONG length;
};

enum { EVENT_COMPLETION = 1, IOCP_COMPLETION = 2 };

struct rio_notification {
    int type;
    union {
        struct {
            HANDLE handle;
            BOOL notify_reset;
        } event;
        struct {
            HANDLE handle;
            void *key;
            void *overlapped;
        } iocp;
    };
};

struct rio_table {
    DWORD size;
    BOOL(WINAPI *receive)(RIO_HANDLE, struct rio_buf *, ULONG, DWORD, void *);
    int(WINAPI *receive_ex)(RIO_HANDLE, struct rio_buf *, ULONG, struct rio_buf *, struct rio_buf *, struct rio_buf *,
                            struct rio_buf *, DWORD, void *);
    BOOL(WINAPI *send)(RIO_HANDLE, struct rio_buf *, ULONG, DWORD, void *);
    BOOL(WINAPI *send_ex)(RIO_HANDLE, struct rio_buf *, ULONG, struct rio_buf *, struct rio_buf *, struct rio_buf *,
                          struct rio_buf *, DWORD, void *);
    void(WINAPI *close_completion_queue)(RIO_HANDLE);
    RIO_HANDLE(WINAPI *create_completion_queue)(DWORD, struct rio_notification *);
    RIO_HANDLE(WINAPI *create_request_queue)(SOCKET, ULONG, ULONG, ULONG, ULONG, RIO_HANDLE, RIO_HANDLE, void *);
    ULONG(WINAPI *dequeue_completion)(RIO_HANDLE, struct rio_result *, ULONG);
    void(WINAPI *deregister_buffer)(RIO_HANDLE);
    INT(WINAPI *notify)(RIO_HANDLE);
    RIO_HANDLE(WINAPI *register_buffer)(char *, DWORD);
    BOOL(WINAPI *resize_completion_queue)(RIO_HANDLE, DWORD);
    BOOL(WINAPI *resize_request_queue)(RIO_HANDLE, DWORD, DWORD);
};

_Static_assert(sizeof(struct rio_result) == 24 && offsetof(struct rio_result, request_context) == 16, "RIORESULT");
_Static_assert(sizeof(struct rio_buf) == 16 && offsetof(struct rio_buf, length) == 12, "RIO_BUF");
_Static_assert(sizeof(struct rio_notification) == 32 && offsetof(struct rio_notification, event) == 8 &&
                   offsetof(struct rio_notification, iocp.overlapped) == 24,
               "RIO_NOTIFICATION_COMPLETION");
_Static_assert(sizeof(struct rio_table) == 112 && offsetof(struct rio_table, close_completion_queue) == 40 &&
                   offsetof(struct rio_table, dequeue_completion) == 64 &&
                   offsetof(struct rio_table, resize_request_queue) == 104,
               "RIO_EXTENSION_FUNCTION_TABLE");

#endif
