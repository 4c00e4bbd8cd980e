/* One request and the kernel: an overlapped receive or send, over and over where RIO promises the whole. */
#include "lane.h"

#include <mswsock.h>
#include <string.h>

static const GUID receive_message_id = {0xf689d7c8, 0x6f1f, 0x436b, {0x8a, 0x53, 0xe5, 0x4f, 0xe3, 0x51, 0xc3, 0x22}};

/* What is still to be transferred, or less of it by the knob. */
static WSABUF window_of(const struct request *request) {
    static char nothing;
    const struct slice *data = &request->slices[DATA];
    ULONG length = data->length - request->done;
    bool may_be_short = request->direction == RECEIVE && !request->owner->is_datagram;
    if (knobs.short_receives && may_be_short && !(request->flags & MSG_WAIT_FOR_ALL) && length > 1)
        length = 1 + random_below(random_below(2) ? length : 16 < length ? 16 : length);
    return (WSABUF){length, data->buffer != NULL ? data->memory + request->done : &nothing};
}

static int address_size(const struct sockaddr_storage *address) {
    return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* Control messages in registered memory: their length with that of the header, then they. */
static void describe_message(struct request *request) {
    const struct slice *control = &request->slices[CONTROL];
    ULONG length = control->length;
    if (request->direction == SEND) memcpy(&length, control->memory, sizeof length);
    request->message = (WSAMSG){
        .name = (struct sockaddr *)&request->address,
        .namelen = request->address_length,
        .lpBuffers = &request->window,
        .dwBufferCount = 1,
        .Control = {length - CMSG_BASE_SIZE, control->memory + CMSG_BASE_SIZE},
    };
}

static int receive_message(struct request *request) {
    static LPFN_WSARECVMSG function;
    DWORD size;
    SOCKET socket = request->owner->socket;
    if (function == NULL && WSAIoctl(socket, GET_EXTENSION_FUNCTION_POINTER, (void *)&receive_message_id,
                                     sizeof receive_message_id, &function, sizeof function, &size, NULL, NULL) != 0)
        return SOCKET_ERROR;
    describe_message(request);
    return function(socket, &request->message, NULL, &request->overlapped, NULL);
}

static int start_receive(struct request *request) {
    SOCKET socket = request->owner->socket;
    request->address_length = sizeof request->address;
    request->message_flags = 0;
    if (!request->owner->is_datagram)
        return WSARecv(socket, &request->window, 1, NULL, &request->message_flags, &request->overlapped, NULL);
    if (request->slices[CONTROL].buffer != NULL) return receive_message(request);
    return WSARecvFrom(socket, &request->window, 1, NULL, &request->message_flags, (struct sockaddr *)&request->address,
                       &request->address_length, &request->overlapped, NULL);
}

static int start_send(struct request *request) {
    SOCKET socket = request->owner->socket;
    struct sockaddr *address = NULL;
    request->address_length = 0;
    if (request->slices[REMOTE].buffer != NULL) {
        memcpy(&request->address, request->slices[REMOTE].memory, SOCKADDR_INET_SIZE);
        request->address_length = address_size(&request->address);
        address = (struct sockaddr *)&request->address;
    }
    if (request->slices[CONTROL].buffer != NULL) {
        describe_message(request);
        if (address == NULL) request->message.name = NULL;
        return WSASendMsg(socket, &request->message, 0, NULL, &request->overlapped, NULL);
    }
    return WSASendTo(socket, &request->window, 1, NULL, 0, address, request->address_length, &request->overlapped,
                     NULL);
}

int start_transfer(struct request *request) {
    memset(&request->overlapped, 0, sizeof request->overlapped);
    /* The low bit keeps the completion from a port that the socket may belong to. */
    request->overlapped.hEvent = (WSAEVENT)((ULONG_PTR)transfer_event | 1);
    request->window = window_of(request);
    int result = request->direction == RECEIVE ? start_receive(request) : start_send(request);
    if (result == 0) return 0;
    int error = WSAGetLastError();
    return error == WSA_IO_PENDING ? 0 : error;
}

static void fill_address(const struct slice *slice, const struct sockaddr_storage *address, int length) {
    if (slice->buffer == NULL) return;
    memset(slice->memory, 0, SOCKADDR_INET_SIZE);
    memcpy(slice->memory, address, (size_t)length < SOCKADDR_INET_SIZE ? (size_t)length : SOCKADDR_INET_SIZE);
}

/* The slices beside the data that a receive fills. */
static void fill_slices(struct request *request) {
    struct sockaddr_storage name;
    int length = sizeof name;
    const struct slice *slices = request->slices;
    if (slices[LOCAL].buffer != NULL && getsockname(request->owner->socket, (struct sockaddr *)&name, &length) == 0)
        fill_address(&slices[LOCAL], &name, length);
    if (request->owner->is_datagram) fill_address(&slices[REMOTE], &request->address, address_size(&request->address));
    if (slices[CONTROL].buffer != NULL) {
        ULONG total = CMSG_BASE_SIZE + (request->owner->is_datagram ? request->message.Control.len : 0);
        memcpy(slices[CONTROL].memory, &total, sizeof total);
    }
    if (slices[FLAGS].buffer != NULL) memcpy(slices[FLAGS].memory, &request->message_flags, sizeof(DWORD));
}

/* RIO tells nothing of ICMP's "port unreachable", which belongs to some earlier datagram; and what the worker has
 * cancelled, it begins again. */
static bool is_not_told(const struct request *request) {
    if (!request->owner->is_datagram || request->owner->is_dead) return false;
    LONG status = request->status;
    return status == WSAECONNRESET || status == WSAECONNREFUSED || status == WSA_OPERATION_ABORTED;
}

bool finish_transfer(struct request *request) {
    DWORD bytes = 0, flags = 0;
    WSAOVERLAPPED *overlapped = &request->overlapped;
    bool is_good = WSAGetOverlappedResult(request->owner->socket, overlapped, &bytes, FALSE, &flags);
    request->status = is_good ? 0 : WSAGetLastError();
    if (is_not_told(request)) return false;
    request->done += bytes;
    request->message_flags = flags;
    bool is_whole = request->owner->is_datagram || request->done == request->slices[DATA].length;
    if (is_good && !is_whole && bytes > 0 && (request->direction == SEND || request->flags & MSG_WAIT_FOR_ALL))
        return false;
    if (request->direction == RECEIVE && is_good) fill_slices(request);
    return true;
}
