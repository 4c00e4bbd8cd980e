"""The function table without the rules that trio_rio adds, for questions about the table itself.

On ``winsock`` these are the calls of Windows; a probe that uses them must keep the rules by itself, or means to find
out what happens otherwise. On another provider they are its own flat calls.
"""

from __future__ import annotations

import socket
import time
from typing import Any, Protocol

import attrs

from ...rio import NO_BUFFER, CompletionQueue, Provider, RawResult, RequestQueue, RioCallError

# How long to wait between two looks for results.
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
    """The table of a provider's lowest calls."""
    if provider.name != "winsock":
        return ProviderTable(provider)
    from .windows_table import WindowsTable

    return WindowsTable(getattr(provider, "table"))  # noqa: B009  # which only this one has
