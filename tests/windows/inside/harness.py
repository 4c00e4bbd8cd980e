"""What the tests of the function table share."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import attrs

from . import raw


@attrs.define(eq=False)
class Bench:
    """The function table with memory and a polled queue; sockets that are closed at the end."""

    table: Any
    memory: raw.Memory
    queue: Any
    sockets: list[socket.socket] = attrs.field(factory=list)
    overlapped: Any = None  # lives as long as the queue that names it

    def replace_queue(self, notification: Any, overlapped: Any = None) -> None:
        """A completion queue for 64 results that tells, in place of the polled one."""
        self.table.RIOCloseCompletionQueue(self.queue)
        self.overlapped = overlapped
        self.queue = self.table.RIOCreateCompletionQueue(64, notification)

    def request_queue(self, sock: socket.socket, receives: int = 4, sends: int = 4, context: int = 7) -> Any:
        cookie = raw.ffi.cast("void *", context)
        return self.table.RIOCreateRequestQueue(sock.fileno(), receives, 1, sends, 1, self.queue, self.queue, cookie)

    def pair(self, *, rio_listener: bool = True) -> tuple[socket.socket, socket.socket]:
        """A RIO socket and its peer."""
        pair = raw.tcp(rio_listener=rio_listener)
        self.sockets += pair
        return pair

    def tcp(self) -> tuple[socket.socket, socket.socket, Any]:
        """A RIO socket, its peer, and the request queue of the first."""
        ours, peer = self.pair()
        return ours, peer, self.request_queue(ours)

    def udp(self, family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket, Any]:
        ours, peer = raw.udp(family)
        self.sockets += (ours, peer)
        return ours, peer, self.request_queue(ours)

    def receive(self, queue: Any, offset: int = 0, length: int = 100, flags: int = 0, context: int = 1) -> bool:
        data = self.memory.slice(offset, length)
        return bool(self.table.RIOReceive(queue, data, 1, flags, raw.ffi.cast("void *", context)))

    def send(self, queue: Any, data: bytes, offset: int = 2048, flags: int = 0, context: int = 2) -> bool:
        slice_ = self.memory.put(offset, data)
        return bool(self.table.RIOSend(queue, slice_, 1, flags, raw.ffi.cast("void *", context)))

    def commit(self, function: str, queue: Any) -> bool:
        null = raw.ffi.NULL
        return bool(getattr(self.table, function)(queue, null, 0, raw.COMMIT_ONLY, null))

    def collect(self, count: int) -> list[tuple[int, int, int, int]]:
        return raw.collect(self.table, self.queue, count)

    def dequeue(self) -> list[tuple[int, int, int, int]]:
        return raw.dequeue(self.table, self.queue)


def error() -> int:
    """The error of the call just made."""
    return int(raw.winsock.WSAGetLastError())


@attrs.define
class Reports:
    """The misuse that was reported in a test."""

    path: Path

    def text(self) -> str:
        return self.path.read_text(encoding="utf-8") if self.path.exists() else ""
