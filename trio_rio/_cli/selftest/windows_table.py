"""The function table of Windows, called without the rules that trio_rio adds."""

from __future__ import annotations

import socket
from typing import Any

import attrs

from ...rio import RIO_INVALID_BUFFERID, RawResult
from ...rio.winsock.ffi import ffi, last_error


@attrs.define(eq=False)
class WindowsTable:
    """The calls of Windows."""

    table: Any
    is_windows: bool = True
    _keep: list[Any] = attrs.field(factory=list)

    def cq(self, size: int) -> tuple[Any, int]:
        """RIOCreateCompletionQueue, polled."""
        cq = self.table.RIOCreateCompletionQueue(size, ffi.NULL)
        return cq, 0 if cq else last_error()

    def rq(self, sock: socket.socket, cq: Any, receives: int, sends: int) -> tuple[Any, int]:
        """RIOCreateRequestQueue."""
        rq = self.table.RIOCreateRequestQueue(sock.fileno(), receives, 1, sends, 1, cq, cq, 0)
        return rq, 0 if rq else last_error()

    def register(self, memory: bytearray) -> tuple[Any, int]:
        """RIORegisterBuffer. The memory is kept for good."""
        pointer = ffi.from_buffer("char[]", memory)
        self._keep.append(pointer)
        buffer = self.table.RIORegisterBuffer(pointer, len(memory))
        return buffer, last_error() if buffer == RIO_INVALID_BUFFERID else 0

    def receive(self, rq: Any, buffer: Any, offset: int, length: int, context: int, flags: int = 0) -> int:
        """RIOReceive."""
        return self._post(self.table.RIOReceive, rq, (buffer, offset, length), context, flags)

    def send(self, rq: Any, buffer: Any, offset: int, length: int, context: int, flags: int = 0) -> int:
        """RIOSend."""
        return self._post(self.table.RIOSend, rq, (buffer, offset, length), context, flags)

    @staticmethod
    def _post(function: Any, rq: Any, slice_: tuple[Any, int, int], context: int, flags: int) -> int:
        data = ffi.new("RIO_BUF *", slice_)
        return 0 if function(rq, data, 1, flags, context) else last_error()

    def dequeue(self, cq: Any, limit: int) -> list[RawResult]:
        """RIODequeueCompletion."""
        results = ffi.new("RIORESULT[]", limit)
        count = self.table.RIODequeueCompletion(cq, results, limit)
        taken = [results[index] for index in range(count)]
        return [(one.Status, one.BytesTransferred, one.SocketContext, one.RequestContext) for one in taken]

    def notify(self, cq: Any) -> int:
        """RIONotify."""
        code: int = self.table.RIONotify(cq)
        return code

    def close_cq(self, cq: Any) -> None:
        """RIOCloseCompletionQueue."""
        self.table.RIOCloseCompletionQueue(cq)

    def close_socket(self, rq: Any, sock: socket.socket) -> None:
        """closesocket."""
        sock.close()
