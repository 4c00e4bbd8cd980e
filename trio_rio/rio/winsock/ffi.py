"""The declarations of Windows that the ``winsock`` provider calls, and how their errors are fetched.

Facts
=====
The RIO function table is a structure of pointers that WSAIoctl fills. [mswsock.h, mswsockdef.h]
A call reports failure by its result, and the reason by WSAGetLastError, which the next call may overwrite; RIONotify
alone returns the code itself. cffi keeps the last error of the last call that it made in this thread.
RIO_BUFFERID, RIO_CQ and RIO_RQ are as wide as a pointer, yet RIO_INVALID_BUFFERID is 32 ones and no more:
0xFFFFFFFF on x64. Both contexts of a RIORESULT have 64 bits everywhere.

Decision
========
ABI mode: nothing is compiled, and a wheel for Windows is plain Python. Handles, contexts and addresses are declared as
integers of a pointer's width, so that Python's integers go in and come out. The layouts are asserted below, when this
is imported, on any system: a wrong one would write to memory that is not ours. The error is fetched in the line
after the call (:func:`last_error`).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import cffi

_DECLARATIONS = """
typedef struct {
    int32_t Status;
    uint32_t BytesTransferred;
    uint64_t SocketContext;
    uint64_t RequestContext;
} RIORESULT;

typedef struct {
    uintptr_t BufferId;
    uint32_t Offset;
    uint32_t Length;
} RIO_BUF;

typedef struct {
    uintptr_t Internal;
    uintptr_t InternalHigh;
    uint32_t Offset;
    uint32_t OffsetHigh;
    uintptr_t hEvent;
} RIO_OVERLAPPED;

typedef struct { uintptr_t EventHandle; int32_t NotifyReset; } RIO_EVENT_NOTIFICATION;
typedef struct { uintptr_t IocpHandle; uintptr_t CompletionKey; RIO_OVERLAPPED *Overlapped; } RIO_IOCP_NOTIFICATION;
typedef struct {
    int32_t Type;
    union { RIO_EVENT_NOTIFICATION Event; RIO_IOCP_NOTIFICATION Iocp; };
} RIO_NOTIFICATION_COMPLETION;

typedef struct { uint32_t TotalLength; } RIO_CMSG_BUFFER;

typedef struct {
    uint32_t cbSize;
    int32_t (__stdcall *RIOReceive)(uintptr_t, RIO_BUF *, uint32_t, uint32_t, uintptr_t);
    int32_t (__stdcall *RIOReceiveEx)(uintptr_t, RIO_BUF *, uint32_t, RIO_BUF *, RIO_BUF *, RIO_BUF *, RIO_BUF *,
                                      uint32_t, uintptr_t);
    int32_t (__stdcall *RIOSend)(uintptr_t, RIO_BUF *, uint32_t, uint32_t, uintptr_t);
    int32_t (__stdcall *RIOSendEx)(uintptr_t, RIO_BUF *, uint32_t, RIO_BUF *, RIO_BUF *, RIO_BUF *, RIO_BUF *,
                                   uint32_t, uintptr_t);
    void (__stdcall *RIOCloseCompletionQueue)(uintptr_t);
    uintptr_t (__stdcall *RIOCreateCompletionQueue)(uint32_t, RIO_NOTIFICATION_COMPLETION *);
    uintptr_t (__stdcall *RIOCreateRequestQueue)(uintptr_t, uint32_t, uint32_t, uint32_t, uint32_t, uintptr_t,
                                                 uintptr_t, uintptr_t);
    uint32_t (__stdcall *RIODequeueCompletion)(uintptr_t, RIORESULT *, uint32_t);
    void (__stdcall *RIODeregisterBuffer)(uintptr_t);
    int32_t (__stdcall *RIONotify)(uintptr_t);
    uintptr_t (__stdcall *RIORegisterBuffer)(char *, uint32_t);
    int32_t (__stdcall *RIOResizeCompletionQueue)(uintptr_t, uint32_t);
    int32_t (__stdcall *RIOResizeRequestQueue)(uintptr_t, uint32_t, uint32_t);
} RIO_EXTENSION_FUNCTION_TABLE;

typedef struct {
    uintptr_t lpCompletionKey;
    uintptr_t lpOverlapped;
    uintptr_t Internal;
    uint32_t dwNumberOfBytesTransferred;
} PORT_ENTRY;

uintptr_t __stdcall WSASocketW(int, int, int, void *, uint32_t, uint32_t);
int __stdcall WSAIoctl(uintptr_t, uint32_t, void *, uint32_t, void *, uint32_t, uint32_t *, void *, void *);

uintptr_t __stdcall CreateIoCompletionPort(uintptr_t, uintptr_t, uintptr_t, uint32_t);
int32_t __stdcall GetQueuedCompletionStatusEx(uintptr_t, PORT_ENTRY *, uint32_t, uint32_t *, uint32_t, int32_t);
int32_t __stdcall PostQueuedCompletionStatus(uintptr_t, uint32_t, uintptr_t, uintptr_t);
uintptr_t __stdcall CreateEventW(void *, int32_t, int32_t, void *);
int32_t __stdcall SetEvent(uintptr_t);
int32_t __stdcall ResetEvent(uintptr_t);
uint32_t __stdcall WaitForSingleObject(uintptr_t, uint32_t);
int32_t __stdcall CloseHandle(uintptr_t);
int32_t __stdcall CancelIoEx(uintptr_t, void *);
"""

ffi: Any = cffi.FFI()
ffi.cdef(_DECLARATIONS)

# Socket flags and ioctls [winsock2.h, mswsockdef.h].
WSA_FLAG_OVERLAPPED = 0x01
WSA_FLAG_NO_HANDLE_INHERIT = 0x80
WSA_FLAG_REGISTERED_IO = 0x100
SIO_GET_MULTIPLE_EXTENSION_FUNCTION_POINTER = 0xC8000024
SIO_UDP_CONNRESET = 0x9800000C
WSAID_MULTIPLE_RIO = bytes.fromhex("81E00985DD960540B1659E2EE8C79E3F")  # 8509e081-96dd-4005-b165-9e2ee8c79e3f

INVALID_HANDLE = (1 << (8 * ffi.sizeof("uintptr_t"))) - 1  # INVALID_SOCKET too
RIO_INVALID_CQ = 0
RIO_INVALID_RQ = 0

WAIT_OBJECT_0 = 0
WAIT_TIMEOUT = 258
INFINITE = 0xFFFFFFFF

# Sizes and offsets on a 64-bit Windows [mswsock.h and mswsockdef.h of the SDK].
LAYOUT_64: dict[str, tuple[int, dict[str, int]]] = {
    "RIORESULT": (24, {"Status": 0, "BytesTransferred": 4, "SocketContext": 8, "RequestContext": 16}),
    "RIO_BUF": (16, {"BufferId": 0, "Offset": 8, "Length": 12}),
    "RIO_EVENT_NOTIFICATION": (16, {"EventHandle": 0, "NotifyReset": 8}),
    "RIO_IOCP_NOTIFICATION": (24, {"IocpHandle": 0, "CompletionKey": 8, "Overlapped": 16}),
    "RIO_NOTIFICATION_COMPLETION": (32, {"Type": 0, "Event": 8, "Iocp": 8}),
    "RIO_CMSG_BUFFER": (4, {"TotalLength": 0}),
    "RIO_OVERLAPPED": (32, {"Internal": 0, "InternalHigh": 8, "Offset": 16, "OffsetHigh": 20, "hEvent": 24}),
    "PORT_ENTRY": (32, {"lpCompletionKey": 0, "lpOverlapped": 8, "Internal": 16, "dwNumberOfBytesTransferred": 24}),
    "RIO_EXTENSION_FUNCTION_TABLE": (
        112,
        {
            "cbSize": 0,
            "RIOReceive": 8,
            "RIOReceiveEx": 16,
            "RIOSend": 24,
            "RIOSendEx": 32,
            "RIOCloseCompletionQueue": 40,
            "RIOCreateCompletionQueue": 48,
            "RIOCreateRequestQueue": 56,
            "RIODequeueCompletion": 64,
            "RIODeregisterBuffer": 72,
            "RIONotify": 80,
            "RIORegisterBuffer": 88,
            "RIOResizeCompletionQueue": 96,
            "RIOResizeRequestQueue": 104,
        },
    ),
}


def layout_of(structure: str) -> tuple[int, dict[str, int]]:
    """Size and offsets of a structure as they are declared here."""
    fields = ffi.typeof(structure).fields
    return ffi.sizeof(structure), {
        name: ffi.offsetof(structure, name) for name, field in fields if name in LAYOUT_64[structure][1]
    }


def check_layouts() -> None:
    """Raise :class:`AssertionError` if a declaration differs from the header."""
    if ffi.sizeof("uintptr_t") == 8:
        for structure, expected in LAYOUT_64.items():
            found = layout_of(structure)
            if found != expected:
                raise AssertionError(f"{structure}: declared as {found}, the header has {expected}")
    elif ffi.sizeof("RIORESULT") != 24:
        raise AssertionError("RIORESULT must have 24 bytes")


check_layouts()


class Libraries(NamedTuple):
    """The two libraries of Windows."""

    ws2_32: Any
    kernel32: Any


@functools.cache
def libraries() -> Libraries:
    """Load them. Windows only.

    Raises:
      OSError: this is no Windows.
    """
    return Libraries(ffi.dlopen("ws2_32.dll"), ffi.dlopen("kernel32.dll"))


def last_error() -> int:
    """The error code of this thread's last call; to be asked for in the line after it."""
    code: int = ffi.getwinerror()[0]
    return code


def error_of_last_call() -> OSError:
    """As :func:`last_error`, as an exception."""
    code, text = ffi.getwinerror()
    return OSError(0, text, None, code)


def milliseconds(timeout_seconds: float | None) -> int:
    """Convert a timeout, rounded up, so that a positive time never becomes 0; INFINITE for ``None`` or a longer one."""
    if timeout_seconds is None:
        return INFINITE
    if not timeout_seconds >= 0:
        raise ValueError(f"timeout_seconds must not be negative: {timeout_seconds}")
    return INFINITE if timeout_seconds >= INFINITE / 1000 else int(-(-timeout_seconds * 1000 // 1))
