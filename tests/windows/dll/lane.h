/* A RIO function table for Wine, over overlapped I/O; strict about RIO's rules.
 *
 * Facts. Wine has overlapped sockets and completion ports, and no RIO. It cancels overlapped I/O when the thread that
 * issued it ends, and a socket can join only one completion port, which may be the user's.
 *
 * Consequence. All I/O is issued by one thread of the DLL, which lives for ever, and its completions come by an event
 * (hEvent | 1 keeps them from the user's port).
 *
 * Decision. A request queue has a line of requests for each direction. The head of a line is in the kernel, the others
 * wait: that keeps the order of a stream, and it makes RIO_MSG_WAITALL and short receives simple. One lock guards all.
 * Handles are numbers that are never used again, so a dead one is always known as such; what they stood for is kept.
 *
 * What RIO answers with an error code gets that code. What RIO calls undefined gets a report (misuse.c). */
#ifndef LANE_H
#define LANE_H

#include "rio.h"

enum direction { RECEIVE, SEND };
enum { DIRECTIONS = 2 };

/* Registered memory. */
struct buffer {
    RIO_HANDLE handle;
    char *memory;
    DWORD length;
    bool is_dead;
    ULONG uses; /* slices of requests that are not dequeued */
};

struct completion_queue {
    RIO_HANDLE handle;
    bool is_dead;
    DWORD size;
    DWORD charged;
    DWORD qualifying; /* entries whose request lacked RIO_MSG_DONT_NOTIFY */
    struct request *first, *last;
    struct rio_notification notification; /* type 0: polled */
    bool is_armed;
    volatile LONG user; /* the thread inside, or 0 */
    struct completion_queue *next;
};

/* The requests of one direction: first is in the kernel or next to be; those that are not started come last. */
struct line {
    struct completion_queue *queue;
    ULONG maximum;
    ULONG outstanding; /* posted and not dequeued */
    struct request *first, *last;
};

struct request_queue {
    RIO_HANDLE handle;
    SOCKET socket;
    bool is_dead; /* its socket is closed */
    bool is_deaf; /* accepted by a listener without the flag: nothing ever arrives */
    bool is_datagram;
    bool may_stall; /* a connected datagram socket that has sent; see worker.c */
    bool is_charged;
    int broken; /* every further request fails with this status */
    void *context;
    struct line lines[DIRECTIONS];
    volatile LONG user;
    struct request_queue *next_live; /* of those that the worker looks after */
};

/* A slice that was checked; buffer is NULL when there is none. */
struct slice {
    struct buffer *buffer;
    char *memory;
    ULONG length;
};

enum slices { DATA, LOCAL, REMOTE, CONTROL, FLAGS };
enum { SLICES = 5 };

enum state { WAITING, IN_KERNEL, DONE };

struct request {
    struct request *next;
    struct request_queue *owner;
    enum direction direction;
    enum state state;
    DWORD flags;
    bool is_started;
    void *context;
    struct slice slices[SLICES];
    struct request *next_outstanding, *previous_outstanding;
    ULONGLONG due;   /* held until this tick, by the knob ... */
    enum state held; /* ... in this state */
    bool is_doomed;  /* to fail, by the knob */
    ULONGLONG begun; /* when IN_KERNEL: since this tick */
    ULONG checksum; /* of all slices of a send */
    ULONG done;     /* bytes so far */
    LONG status;
    /* the kernel's, while IN_KERNEL */
    WSAOVERLAPPED overlapped;
    WSABUF window;
    WSAMSG message;
    DWORD message_flags;
    struct sockaddr_storage address;
    INT address_length;
};

/* knobs.c: the ways in which a run may be made harder; all off by default. */
struct knobs {
    ULONG delay_milliseconds;  /* each request is held up to this long, before its I/O or after it */
    ULONG fail_calls;          /* every Nth request is refused with WSAENOBUFS */
    ULONG fail_requests;       /* every Nth request fails, and a stream with it */
    ULONG fail_status;         /* how it fails */
    ULONG abort_status;        /* of requests that closesocket ended; 0: another one each time */
    bool short_receives;       /* a stream receive may take less than there is */
    bool start_deferred_early; /* some deferred requests start before a commit */
    ULONG lose_notifications;  /* every Nth notification does not come */
    bool lose_completions;     /* requests are taken, and never complete */
    bool refuse;               /* no function table */
    bool refuse_ioctls;        /* no ioctl beside those that give functions, and that Trio cannot start without */
    bool refuse_memory;        /* RIORegisterBuffer answers WSAEFAULT */
    bool refuse_queues;        /* RIOCreateCompletionQueue answers WSAEFAULT */
};
extern struct knobs knobs;
void read_knobs(void);
ULONG random_below(ULONG limit);
bool every(ULONG n, ULONG *count);
LONG abort_status(void);

/* misuse.c */
void misuse(const char *function, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool enter(volatile LONG *user, const char *function, const char *what);
void leave(volatile LONG *user, bool has_entered);

/* handles.c: the lock of everything, and what a handle stands for. */
extern CRITICAL_SECTION lane_lock;
enum kind { BUFFER = 1, COMPLETION_QUEUE, REQUEST_QUEUE };
RIO_HANDLE new_handle(enum kind kind, void *object); /* 0: no memory */
void *object_of(enum kind kind, RIO_HANDLE handle);  /* NULL: there never was one */

/* buffers.c */
RIO_HANDLE WINAPI register_buffer(char *memory, DWORD length);
void WINAPI deregister_buffer(RIO_HANDLE handle);
bool take_slice(const char *function, const struct rio_buf *slice, struct slice *taken, int *error);
void hold_slices(const char *function, struct request *request);
void let_slices_go(struct request *request);

/* completion_queues.c */
RIO_HANDLE WINAPI create_completion_queue(DWORD size, struct rio_notification *notification);
void WINAPI close_completion_queue(RIO_HANDLE handle);
ULONG WINAPI dequeue_completion(RIO_HANDLE handle, struct rio_result *results, ULONG length);
INT WINAPI notify(RIO_HANDLE handle);
BOOL WINAPI resize_completion_queue(RIO_HANDLE handle, DWORD size);
struct completion_queue *live_queue(const char *function, RIO_HANDLE handle);
void queue_result(struct request *request);
void forget_request(struct request *request);

/* request_queues.c */
RIO_HANDLE WINAPI create_request_queue(SOCKET socket, ULONG receives, ULONG receive_buffers, ULONG sends,
                                       ULONG send_buffers, RIO_HANDLE receive_queue, RIO_HANDLE send_queue,
                                       void *context);
BOOL WINAPI resize_request_queue(RIO_HANDLE handle, DWORD receives, DWORD sends);
struct request_queue *enter_request_queue(const char *function, RIO_HANDLE handle, bool is_alone, bool *has_entered);
void leave_request_queue(struct request_queue *queue, bool has_entered);
void return_charge(struct request_queue *queue);
void close_request_queue(struct request_queue *queue);

/* worker.c: the thread that does the I/O. */
bool start_worker(void);
void look_after(struct request_queue *queue);
void wake_worker(void);
void end_requests(struct request_queue *queue);

/* transfers.c: one request and the kernel. */
int start_transfer(struct request *request); /* 0: in the kernel; else how it failed */
bool finish_transfer(struct request *request); /* false: there is more to do, start again */
extern HANDLE transfer_event;

/* sockets.c: what is known of the sockets of this process, under the lock. */
struct socket_entry {
    SOCKET socket;
    bool is_rio, is_deaf;
    struct request_queue *queue;
    struct socket_entry *next;
};
struct socket_entry *entry_of(SOCKET socket);
struct socket_entry *remember(SOCKET socket, bool is_rio);
void forget_socket(SOCKET socket);

/* winsock.c: the functions that take the place of those of ws2_32.dll. */
struct replacement {
    const char *name;
    void *function;
    void *original;
};
extern struct replacement replacements[];

/* hook.c */
bool hook_winsock(HMODULE self);

/* post.c: also the table itself. */
extern const struct rio_table rio_table;

#endif
