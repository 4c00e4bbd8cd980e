"""Registered I/O by hand: a raw cffi program of Windows, which knows nothing of the product or of the lane."""

from __future__ import annotations

import socket
import sys
import time
from typing import Any

import cffi

ffi = cffi.FFI()
ffi.cdef("""
    typedef struct { int32_t Status; uint32_t BytesTransferred; uint64_t SocketContext, RequestContext; } RIORESULT;
    typedef struct { void *BufferId; uint32_t Offset, Length; } RIO_BUF;
    typedef struct { int Type; void *Handle; void *KeyOrReset; void *Overlapped; } RIO_NOTIFICATION;
    typedef struct {
        uint32_t cbSize;
        int (__stdcall *RIOReceive)(void *, RIO_BUF *, uint32_t, uint32_t, void *);
        int (__stdcall *RIOReceiveEx)(void *, RIO_BUF *, uint32_t, RIO_BUF *, RIO_BUF *, RIO_BUF *, RIO_BUF *,
                                      uint32_t, void *);
        int (__stdcall *RIOSend)(void *, RIO_BUF *, uint32_t, uint32_t, void *);
        int (__stdcall *RIOSendEx)(void *, RIO_BUF *, uint32_t, RIO_BUF *, RIO_BUF *, RIO_BUF *, RIO_BUF *,
                                   uint32_t, void *);
        void (__stdcall *RIOCloseCompletionQueue)(void *);
        void *(__stdcall *RIOCreateCompletionQueue)(uint32_t, RIO_NOTIFICATION *);
        void *(__stdcall *RIOCreateRequestQueue)(size_t, uint32_t, uint32_t, uint32_t, uint32_t, void *, void *,
                                                 void *);
        uint32_t (__stdcall *RIODequeueCompletion)(void *, RIORESULT *, uint32_t);
        void (__stdcall *RIODeregisterBuffer)(void *);
        int (__stdcall *RIONotify)(void *);
        void *(__stdcall *RIORegisterBuffer)(char *, uint32_t);
        int (__stdcall *RIOResizeCompletionQueue)(void *, uint32_t);
        int (__stdcall *RIOResizeRequestQueue)(void *, uint32_t, uint32_t);
    } RIO_TABLE;
    int __stdcall WSAIoctl(size_t, uint32_t, void *, uint32_t, void *, uint32_t, uint32_t *, void *, void *);
    size_t __stdcall WSASocketW(int, int, int, void *, uint32_t, uint32_t);
    int __stdcall WSAGetLastError(void);
    typedef int (__stdcall *ACCEPTEX)(size_t, size_t, void *, uint32_t, uint32_t, uint32_t, uint32_t *, void *);
    void *__stdcall CreateIoCompletionPort(void *, void *, size_t, uint32_t);
    int __stdcall GetQueuedCompletionStatus(void *, uint32_t *, size_t *, void **, uint32_t);
    void *__stdcall CreateEventW(void *, int, int, void *);
    uint32_t __stdcall WaitForSingleObject(void *, uint32_t);
    int __stdcall CloseHandle(void *);
""")
IS_WINDOWS = sys.platform == "win32"
winsock: Any = ffi.dlopen("ws2_32.dll") if IS_WINDOWS else None
kernel: Any = ffi.dlopen("kernel32.dll") if IS_WINDOWS else None

WSAID_MULTIPLE_RIO = bytes.fromhex("81e00985dd960540b1659e2ee8c79e3f")
WSAID_ACCEPTEX = bytes.fromhex("f17d36b5accbcf1195ca00805f48a192")
SIO_GET_EXTENSION_FUNCTION_POINTER = 0xC8000006
SIO_GET_MULTIPLE_EXTENSION_FUNCTION_POINTER = 0xC8000024
WSA_FLAG_OVERLAPPED, WSA_FLAG_REGISTERED_IO = 0x01, 0x100
DONT_NOTIFY, DEFER, WAITALL, COMMIT_ONLY = 1, 2, 4, 8
INVALID_BUFFER_ID = ffi.cast("void *", 0xFFFFFFFF)
CORRUPT_CQ = 0xFFFFFFFF
EINVAL, EFAULT, ENOBUFS, EALREADY, EOPNOTSUPP, ETOOMANYREFS = 10022, 10014, 10055, 10037, 10045, 10059
ABORTED, EMSGSIZE = 995, 10040
PATIENCE_SECONDS = 5.0

kept: list[Any] = []


def new_socket(kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET, *, rio: bool = True) -> socket.socket:
    """A socket, made with WSA_FLAG_REGISTERED_IO or without."""
    flags = WSA_FLAG_OVERLAPPED | (WSA_FLAG_REGISTERED_IO if rio else 0)
    handle = winsock.WSASocketW(family, kind, 0, ffi.NULL, 0, flags)
    return socket.socket(family, kind, 0, fileno=handle)


def open_table(sock: socket.socket) -> Any:
    """The function table, or ``None`` when it is refused."""
    table = ffi.new("RIO_TABLE *")
    size = ffi.new("uint32_t *")
    code = SIO_GET_MULTIPLE_EXTENSION_FUNCTION_POINTER
    guid = ffi.new("char[]", WSAID_MULTIPLE_RIO)
    failed = winsock.WSAIoctl(sock.fileno(), code, guid, 16, table, ffi.sizeof(table[0]), size, ffi.NULL, ffi.NULL)
    return None if failed else table


def tcp(*, rio_listener: bool = True) -> tuple[socket.socket, socket.socket]:
    """A connected RIO socket, and a plain peer that blocks with a time limit."""
    with new_socket(rio=rio_listener) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        peer = socket.create_connection(listener.getsockname(), timeout=PATIENCE_SECONDS)
        ours, _ = listener.accept()
    return ours, peer


def udp(family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
    """A bound RIO socket, and a plain one connected to it."""
    ours = new_socket(socket.SOCK_DGRAM, family)
    ours.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
    peer = socket.socket(family, socket.SOCK_DGRAM)
    peer.connect(ours.getsockname())
    peer.settimeout(PATIENCE_SECONDS)
    return ours, peer


def accept_ex(listener: socket.socket, ours: socket.socket) -> None:
    """Begin to accept into ``ours``; its end is not waited for, and the memory of the call stays."""
    function, size = ffi.new("ACCEPTEX *"), ffi.new("uint32_t *")
    guid = ffi.new("char[]", WSAID_ACCEPTEX)
    code = SIO_GET_EXTENSION_FUNCTION_POINTER
    failed = winsock.WSAIoctl(listener.fileno(), code, guid, 16, function, 8, size, ffi.NULL, ffi.NULL)
    assert not failed
    kept.append(ffi.new("char[256]"))
    function[0](listener.fileno(), ours.fileno(), kept[-1], 0, 64, 64, size, kept[-1] + 192)


class Memory:
    """Registered memory, and slices of it."""

    def __init__(self, table: Any, size: int = 4096) -> None:
        self.table = table
        self.data = ffi.new("char[]", size)
        self.id = table.RIORegisterBuffer(self.data, size)

    def slice(self, offset: int, length: int) -> Any:
        return ffi.new("RIO_BUF *", (self.id, offset, length))

    def put(self, offset: int, data: bytes) -> Any:
        ffi.memmove(self.data + offset, data, len(data))
        return self.slice(offset, len(data))

    def get(self, offset: int, length: int) -> bytes:
        return bytes(ffi.buffer(self.data + offset, length))


def dequeue(table: Any, queue: Any, limit: int = 16) -> list[tuple[int, int, int, int]]:
    """What is there now."""
    results = ffi.new("RIORESULT[]", limit)
    count = table.RIODequeueCompletion(queue, results, limit)
    assert count != CORRUPT_CQ
    return [(r.Status, r.BytesTransferred, r.SocketContext, r.RequestContext) for r in results[0:count]]


def collect(table: Any, queue: Any, count: int) -> list[tuple[int, int, int, int]]:
    """Poll until so many results have come."""
    results: list[tuple[int, int, int, int]] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(results) < count and time.monotonic() < deadline:
        results += dequeue(table, queue, count - len(results))
    assert len(results) == count
    return results
