"""The function table without the rules that trio_rio adds, for questions about the table itself.

On ``winsock`` these are the calls of Windows; a probe that uses them must keep the rules by itself, or mean to find out
what happens when it does not. On another provider they are its own flat calls.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Protocol

import attrs

from ..rio import NO_BUFFER, CompletionQueue, Provider, RawResult, RequestQueue, RioCallError

LOOK_SECONDS = 0.001


class RawTable(Protocol):
    """Handles are whatever the provider has. A call gives its code, or a handle and a code; 0 is success."""

    is_windows: bool

    def cq(self, size: int) -> tuple[Any, int]: ...
    def rq(self, sock: socket.socket, cq: Any, receives: int, sends: int) -> tuple[Any, int]: ...
    def register(self, memory: bytearray) -> tuple[Any, int]: ...
    def receive(self, rq: Any, buffer: Any, offset: int, length: int, context: int, flags: int = 0) -> int: ...
    def send(self, rq: Any, buffer: Any, offset: int, length: int, context: int, flags: int = 0) -> int: ...
    def dequeue(self, cq: Any, limit: int) -> list[RawResult]: ...
    def notify(self, cq: Any) -> int: ...
    def close_cq(self, cq: Any) -> None: ...
    def close_socket(self, rq: Any, sock: socket.socket) -> None: ...


def collect(table: RawTable, cq: Any, count: int, seconds: float = 2.0) -> list[RawResult]:
    """At most ``count`` results: fewer when no more came in time."""
    results: list[RawResult] = []
    deadline = time.monotonic() + seconds
    while len(results) < count and time.monotonic() < deadline:
        results += table.dequeue(cq, count - len(results))
        if len(results) < count:
            time.sleep(LOOK_SECONDS)
    return results


@attrs.define(eq=False)
class WindowsTable:
    """The calls of Windows."""

    table: Any
    is_windows: bool = True
    _keep: list[Any] = attrs.field(factory=list)

    def cq(self, size: int) -> tuple[Any, int]:
        """RIOCreateCompletionQueue, polled."""
        from ..rio._winsock_ffi import ffi, last_error

        cq = self.table.RIOCreateCompletionQueue(size, ffi.NULL)
        return cq, 0 if cq else last_error()

    def rq(self, sock: socket.socket, cq: Any, receives: int, sends: int) -> tuple[Any, int]:
        """RIOCreateRequestQueue."""
        from ..rio._winsock_ffi import last_error

        rq = self.table.RIOCreateRequestQueue(sock.fileno(), receives, 1, sends, 1, cq, cq, 0)
        return rq, 0 if rq else last_error()

    def register(self, memory: bytearray) -> tuple[Any, int]:
        """RIORegisterBuffer. The memory is kept for good."""
        from ..rio import RIO_INVALID_BUFFERID
        from ..rio._winsock_ffi import ffi, last_error

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
        from ..rio._winsock_ffi import ffi, last_error

        data = ffi.new("RIO_BUF *", slice_)
        return 0 if function(rq, data, 1, flags, context) else last_error()

    def dequeue(self, cq: Any, limit: int) -> list[RawResult]:
        """RIODequeueCompletion."""
        from ..rio._winsock_ffi import ffi

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


@attrs.define(eq=False)
class ProviderTable:
    """The flat calls of a provider."""

    provider: Provider
    is_windows: bool = False

    def cq(self, size: int) -> tuple[Any, int]:
        """RIOCreateCompletionQueue, polled."""
        return self.provider.create_completion_queue(size), 0

    def rq(self, sock: socket.socket, cq: CompletionQueue, receives: int, sends: int) -> tuple[Any, int]:
        """RIOCreateRequestQueue."""
        try:
            return self.provider.create_request_queue(sock, receives, 1, sends, 1, cq, cq, 0), 0
        except RioCallError as error:
            return None, error.code

    def register(self, memory: bytearray) -> tuple[Any, int]:
        """RIORegisterBuffer."""
        return self.provider.register_buffer(memory).buffer_id, 0

    def receive(self, rq: RequestQueue, buffer: Any, offset: int, length: int, context: int, flags: int = 0) -> int:
        """RIOReceive."""
        return rq.post_receive(buffer or NO_BUFFER, offset, length, flags, context)

    def send(self, rq: RequestQueue, buffer: Any, offset: int, length: int, context: int, flags: int = 0) -> int:
        """RIOSend."""
        return rq.post_send(buffer or NO_BUFFER, offset, length, flags, context)

    def dequeue(self, cq: CompletionQueue, limit: int) -> list[RawResult]:
        """RIODequeueCompletion."""
        return cq.dequeue(limit)

    def notify(self, cq: CompletionQueue) -> int:
        """RIONotify."""
        return cq.arm()

    def close_cq(self, cq: CompletionQueue) -> None:
        """RIOCloseCompletionQueue."""
        self.provider.close_completion_queue(cq)

    def close_socket(self, rq: RequestQueue, sock: socket.socket) -> None:
        """closesocket."""
        self.provider.close_socket(rq)


def raw_table(provider: Provider) -> RawTable:
    """The lowest calls that a provider has."""
    table = getattr(provider, "table", None)
    return ProviderTable(provider) if table is None else WindowsTable(table)
