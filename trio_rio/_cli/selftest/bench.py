"""The bench of checks and probes: a provider with queues, memory and sockets that are given back at the end."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import time
from collections.abc import Iterator

import attrs

from ...rio import (
    BufferSlice,
    CompletionQueue,
    EventNotification,
    Notification,
    Port,
    PortNotification,
    Provider,
    RegisteredBuffer,
    RequestQueue,
    RioCallError,
    RioResult,
    Status,
    open_provider,
)
from ...rio.types import ProviderName
from .raw import LOOK_SECONDS

# How long anything may take that ought to happen at once; only a failing check waits that long.
PATIENCE_SECONDS = 5.0


@attrs.define(eq=False)
class Block:
    """Registered memory."""

    memory: bytearray
    buffer: RegisteredBuffer

    def put(self, data: bytes, offset: int = 0) -> BufferSlice:
        """Write ``data``; its slice."""
        self.memory[offset : offset + len(data)] = data
        return self.buffer.slice(offset, len(data))

    def get(self, length: int, offset: int = 0) -> bytes:
        """Read."""
        return bytes(self.memory[offset : offset + length])


@attrs.define(eq=False)
class Bench:
    """A provider, and what was made on it."""

    provider: Provider
    port: Port = attrs.field(init=False)
    blocks: list[Block] = attrs.field(factory=list)
    sockets: list[socket.socket] = attrs.field(factory=list)
    queues: list[RequestQueue] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.port = self.provider.create_port()

    def block(self, size_bytes: int = 4096) -> Block:
        """Registered memory."""
        memory = bytearray(size_bytes)
        block = Block(memory, self.provider.register_buffer(memory))
        self.blocks.append(block)
        return block

    def cq(self, size: int = 64, notification: Notification = None) -> CompletionQueue:
        """A completion queue, polled unless told otherwise."""
        return self.provider.create_completion_queue(size, notification)

    def port_cq(self, key: int = 1) -> tuple[CompletionQueue, Port]:
        """A completion queue that tells a port of its own."""
        port = self.provider.create_port()
        return self.cq(64, PortNotification(port, key)), port

    def event_cq(self) -> tuple[CompletionQueue, EventNotification]:
        """A completion queue that sets an event of its own."""
        notification = EventNotification(self.provider.create_event())
        return self.cq(64, notification), notification

    def rq(
        self, sock: socket.socket, cq: CompletionQueue, receives: int = 4, sends: int = 4, context: int = 1
    ) -> RequestQueue:
        """A request queue."""
        queue = self.provider.create_request_queue(sock, receives, 1, sends, 1, cq, cq, context)
        self.queues.append(queue)
        return queue

    def new_socket(self, kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET) -> socket.socket:
        """A socket that the provider can serve."""
        sock = self.provider.make_socket(family, kind)
        self.sockets.append(sock)
        return sock

    def listener(self) -> socket.socket:
        """A listening socket on loopback."""
        listener = self.new_socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(PATIENCE_SECONDS)
        return listener

    def tcp(self) -> tuple[socket.socket, socket.socket]:
        """Two ends of a connection: ours, and a plain one that blocks, with a time limit."""
        listener = self.listener()
        peer = socket.create_connection(listener.getsockname(), timeout=PATIENCE_SECONDS)
        ours, _ = listener.accept()
        self.sockets += (ours, peer)
        listener.close()
        for sock in (ours, peer):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return ours, peer

    def udp(self, family: int = socket.AF_INET, *, connected: bool = False) -> tuple[socket.socket, socket.socket]:
        """Two UDP sockets on loopback: ours, and a plain one that blocks, with a time limit."""
        ours = self.new_socket(socket.SOCK_DGRAM, family)
        peer = socket.socket(family, socket.SOCK_DGRAM)
        self.sockets.append(peer)
        for sock in (ours, peer):
            sock.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        if connected:
            ours.connect(peer.getsockname())
        peer.connect(ours.getsockname())
        peer.settimeout(PATIENCE_SECONDS)
        return ours, peer

    def receive(self, rq: RequestQueue, data: BufferSlice | None, context: int = 0, flags: int = 0) -> None:
        """RIOReceive."""
        self.provider.receive(rq, data, int(data is not None), flags, context)

    def send(self, rq: RequestQueue, data: BufferSlice | None, context: int = 0, flags: int = 0) -> None:
        """RIOSend."""
        self.provider.send(rq, data, int(data is not None), flags, context)

    def collect(self, cq: CompletionQueue, count: int, seconds: float = PATIENCE_SECONDS) -> list[RioResult]:
        """At most ``count`` results: fewer when no more came in time."""
        results: list[RioResult] = []
        deadline = time.monotonic() + seconds
        while True:
            results += self.provider.dequeue_completion(cq, max(1, count - len(results)))
            if len(results) >= count or time.monotonic() >= deadline:
                return results
            self.port.wait(LOOK_SECONDS)

    def one(self, cq: CompletionQueue) -> RioResult:
        """Exactly one result."""
        results = self.collect(cq, 1)
        assert results, "no result came"
        return results[0]

    def close(self) -> None:
        """Give everything back."""
        for queue in self.queues:
            self.provider.close_socket(queue)
        for sock in self.sockets:
            sock.close()
        self.port.close()
        self.provider.close()


@contextlib.contextmanager
def open_bench(provider: ProviderName) -> Iterator[Bench]:
    """A bench on a provider of its own."""
    bench = Bench(open_provider(provider))
    try:
        yield bench
    finally:
        bench.close()


@contextlib.contextmanager
def refused(*codes: Status) -> Iterator[None]:
    """The call inside fails with one of these codes."""
    try:
        yield
    except RioCallError as error:
        if error.code not in codes:
            raise AssertionError(f"refused with {error.code}, not with {[int(code) for code in codes]}") from error
    else:
        raise AssertionError("the call was not refused")


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """``count`` bytes from a blocking socket, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < count:
        more = sock.recv(min(1 << 20, count - len(data)))
        if not more:
            break
        data += more
    return bytes(data)


def reset_at_close(sock: socket.socket) -> None:
    """Let the close of a socket be a reset: SO_LINGER with 0 seconds. Winsock's structure has 16-bit members."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0))
