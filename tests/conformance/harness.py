"""What the conformance tests share: a provider with books kept on it, sockets, and ways to wait for a result.

The books are the ledger of a RIO table: each accepted request is dequeued exactly once, every credit and charge comes
back, and memory is let go. :meth:`Table.settle` closes what a test has left open and then checks them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import traceback
from array import array
from collections.abc import Callable, Iterator
from typing import Any, Literal

import attrs
import pytest

from trio_rio.rio import open_provider
from trio_rio.rio.api import (
    BufferSlice,
    CompletionQueue,
    Event,
    EventNotification,
    Port,
    PortNotification,
    Provider,
    RegisteredBuffer,
    RequestQueue,
    RioResult,
    SendRow,
    SlotRow,
)
from trio_rio.rio.errors import RioCallError, Status

# How long anything may take that ought to happen at once; only a failing test waits that long.
PATIENCE_SECONDS = 5.0

FAMILIES = [
    pytest.param(socket.AF_INET, id="ipv4"),
    pytest.param(socket.AF_INET6, id="ipv6"),
]
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}

SignalKind = Literal["port", "event"]


@contextlib.contextmanager
def refused(*codes: Status) -> Iterator[None]:
    """The RIO call inside fails with one of these codes."""
    with pytest.raises(RioCallError) as caught:
        yield
    assert caught.value.code in codes, str(caught.value)


@attrs.define(eq=False)
class Block:
    """Memory of a test, and its registration."""

    memory: bytearray
    buffer: RegisteredBuffer

    def slice(self, offset: int = 0, length: int | None = None) -> BufferSlice:
        return self.buffer.slice(offset, length)

    def put(self, data: bytes, offset: int = 0) -> BufferSlice:
        """Write ``data`` into the memory; its slice."""
        self.memory[offset : offset + len(data)] = data
        return self.buffer.slice(offset, len(data))

    def get(self, length: int, offset: int = 0) -> bytes:
        return bytes(self.memory[offset : offset + length])

    @property
    def is_held(self) -> bool:
        """Whether somebody still has the memory: it cannot change its size then."""
        try:
            self.memory.append(0)
        except BufferError:
            return True
        self.memory.pop()
        return False


@attrs.define(eq=False)
class Signal:
    """One way for a completion queue to tell, the same for a port and an event."""

    kind: SignalKind
    notification: EventNotification | PortNotification

    def take(self, timeout_seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for a signal and consume it: how many there were."""
        if isinstance(self.notification, PortNotification):
            return len(self.notification.port.wait(timeout_seconds))
        is_set = self.notification.event.wait(timeout_seconds)
        self.notification.event.reset()
        return int(is_set)


@attrs.define(eq=False)
class Table:
    """A provider, with everything that a test makes on it."""

    provider: Provider
    port: Port = attrs.field(init=False)
    notifications: list[Port | Event] = attrs.field(factory=list, init=False)
    blocks: list[Block] = attrs.field(factory=list, init=False)
    sockets: list[socket.socket] = attrs.field(factory=list, init=False)
    completion_queues: list[CompletionQueue] = attrs.field(factory=list, init=False)
    request_queues: list[RequestQueue] = attrs.field(factory=list, init=False)
    signals: dict[CompletionQueue, Signal] = attrs.field(factory=dict, init=False)
    posted: int = attrs.field(default=0, init=False)
    dequeued: int = attrs.field(default=0, init=False)
    drops_results: bool = attrs.field(default=False, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self.port = self.new_port()

    # -- things ----------------------------------------------------------------------------------------

    def block(self, size_bytes: int = 4096) -> Block:
        """Registered memory."""
        memory = bytearray(size_bytes)
        block = Block(memory, self.provider.register_buffer(memory))
        self.blocks.append(block)
        return block

    def new_port(self) -> Port:
        """A port that is closed with the table."""
        port = self.provider.create_port()
        self.notifications.append(port)
        return port

    def new_event(self) -> Event:
        """An event that is closed with the table."""
        event = self.provider.create_event()
        self.notifications.append(event)
        return event

    def signal(self, kind: SignalKind = "port", key: int = 0, *, notify_reset: bool = True) -> Signal:
        """A new port or event."""
        if kind == "port":
            return Signal(kind, PortNotification(self.new_port(), key))
        return Signal(kind, EventNotification(self.new_event(), notify_reset))

    def cq(self, size: int = 64, signal: Signal | None = None) -> CompletionQueue:
        """A completion queue that tells, by a port unless ``signal`` says otherwise."""
        signal = self.signal() if signal is None else signal
        cq = self._keep_books(self.provider.create_completion_queue(size, signal.notification))
        self.signals[cq] = signal
        return cq

    def polled_cq(self, size: int = 64) -> CompletionQueue:
        """A completion queue without notification."""
        return self._keep_books(self.provider.create_completion_queue(size))

    def rq(
        self,
        sock: socket.socket,
        cq: CompletionQueue,
        receives: int = 4,
        sends: int = 4,
        *,
        send_cq: CompletionQueue | None = None,
        context: int = 1,
    ) -> RequestQueue:
        """A request queue, whose accepted posts are counted."""
        rq = self.provider.create_request_queue(sock, receives, 1, sends, 1, cq, send_cq or cq, context)
        for name in ("post_receive", "post_send", "post_receive_from", "post_send_to"):
            setattr(rq, name, self._counted(getattr(rq, name)))
        self.request_queues.append(rq)
        return rq

    def listener(self, family: int = socket.AF_INET) -> socket.socket:
        """A listening socket on loopback; what it accepts can have a request queue."""
        listener = self.provider.make_socket(family, socket.SOCK_STREAM)
        listener.bind((LOOPBACK[socket.AddressFamily(family)], 0))
        listener.listen()
        self.sockets.append(listener)
        return listener

    def tcp(self, family: int = socket.AF_INET) -> tuple[socket.socket, socket.socket]:
        """Two connected TCP sockets; the second blocks, with a time limit."""
        listener = self.listener(family)
        peer = self.provider.make_socket(family, socket.SOCK_STREAM)
        peer.connect(listener.getsockname())
        ours, _ = listener.accept()
        listener.close()
        for sock in (ours, peer):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.settimeout(PATIENCE_SECONDS)
        self.sockets += (ours, peer)
        return ours, peer

    def udp(self, family: int = socket.AF_INET, *, connected: bool = True) -> tuple[socket.socket, socket.socket]:
        """Two UDP sockets on loopback; the second blocks, with a time limit."""
        ours, peer = (self.provider.make_socket(family, socket.SOCK_DGRAM) for _ in range(2))
        for sock in (ours, peer):
            sock.bind((LOOPBACK[socket.AddressFamily(family)], 0))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        if connected:
            ours.connect(peer.getsockname())
        peer.connect(ours.getsockname())
        peer.settimeout(PATIENCE_SECONDS)
        self.sockets += (ours, peer)
        return ours, peer

    # -- requests --------------------------------------------------------------------------------------

    def receive(self, rq: RequestQueue, data: BufferSlice | None, context: int = 0, flags: int = 0) -> None:
        self.provider.receive(rq, data, 0 if data is None else 1, flags, context)

    def send(self, rq: RequestQueue, data: BufferSlice | None, context: int = 0, flags: int = 0) -> None:
        self.provider.send(rq, data, 0 if data is None else 1, flags, context)

    def post_receives(self, rq: RequestQueue, slots: SlotRow, first: int, count: int, flags: int) -> int:
        return self._counted_row(self.provider.post_receives, rq, slots, first, count, flags)

    def post_sends(self, rq: RequestQueue, data: SendRow, lengths: array[int], first: int, flags: int) -> int:
        return self._counted_row(self.provider.post_sends, rq, data, lengths, first, flags)

    def _counted_row(self, post: Callable[..., int], *arguments: object) -> int:
        before = self.posted  # a provider may use the queue's flat calls, which count for themselves
        posted = post(*arguments)
        self.posted = before + posted
        return posted

    def collect(self, cq: CompletionQueue, count: int, batch: int = 16) -> list[RioResult]:
        """Dequeue exactly ``count`` results, waiting for them as the article does: drain, arm, wait."""
        results: list[RioResult] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(results) < count:
            taken = self.provider.dequeue_completion(cq, min(batch, count - len(results)))
            results += taken
            if not taken:
                assert time.monotonic() < deadline, f"{len(results)} of {count} results came: {results}"
                signal = self.signals.get(cq)
                if signal is not None:
                    assert cq.arm() in (0, Status.EALREADY)
                    signal.take(deadline - time.monotonic())
        return results

    def one(self, cq: CompletionQueue) -> RioResult:
        """Exactly one result."""
        return self.collect(cq, 1)[0]

    def assert_nothing_comes(self, cq: CompletionQueue) -> None:
        """There is no result, also after a full round through the kernel on other sockets."""
        ours, peer = self.udp()
        barrier = self.cq(1)
        rq = self.rq(ours, barrier, 1, 0)
        self.receive(rq, self.block(8).slice())
        peer.send(b"x")
        self.one(barrier)
        self.provider.close_socket(rq)
        assert self.provider.dequeue_completion(cq, 1) == []

    # -- the end ---------------------------------------------------------------------------------------

    def close_cq(self, cq: CompletionQueue) -> None:
        """Close a queue, with whatever is in it."""
        self.drops_results = True
        self.provider.close_completion_queue(cq)

    def settle(self) -> None:
        """Close and drain what is left, and check the books."""
        provider = self.provider
        for rq in self.request_queues:
            provider.close_socket(rq)
        for sock in self.sockets:
            sock.close()
        queues = [cq for cq in self.completion_queues if not cq.is_closed]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while provider.outstanding() and time.monotonic() < deadline:
            self.port.wait(0)
            for cq in queues:
                provider.dequeue_completion(cq, 64)
        assert provider.outstanding() == 0, "requests in flight after their sockets were closed"
        if not self.drops_results:
            assert self.posted == self.dequeued, "requests lost or doubled"
        assert [cq.charged for cq in queues] == [0] * len(queues), "credits not returned"
        for cq in queues:
            assert provider.dequeue_completion(cq, 1) == []
            provider.close_completion_queue(cq)
        for block in self.blocks:
            provider.deregister_buffer(block.buffer)
        held = sum(block.is_held for block in self.blocks)
        assert held == 0, f"{held} of {len(self.blocks)} registrations still hold their memory"

    def _keep_books(self, cq: CompletionQueue) -> CompletionQueue:
        dequeue = cq.dequeue

        def counted(limit: int) -> list[Any]:
            taken = dequeue(limit)
            with self._lock:
                self.dequeued += len(taken)
            return taken

        cq.dequeue = counted
        self.completion_queues.append(cq)
        return cq

    def _counted(self, post: Callable[..., int]) -> Callable[..., int]:
        def counted(*arguments: int) -> int:
            code = post(*arguments)
            if not code:
                with self._lock:
                    self.posted += 1
            return code

        return counted


@contextlib.contextmanager
def open_table(name: str) -> Iterator[Table]:
    """A table on a provider of its own; the books are checked when the block ends well."""
    provider = open_provider(name)
    table = Table(provider)
    try:
        yield table
        table.settle()
    finally:
        for sock in table.sockets:
            sock.close()
        provider.close()
        for notification in table.notifications:
            notification.close()


@contextlib.contextmanager
def running(function: Callable[[], object]) -> Iterator[None]:
    """``function`` in a thread beside the block; what it raises is raised at the end."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="beside the test")
    thread.start()
    try:
        yield
    finally:
        thread.join(2 * PATIENCE_SECONDS)
        assert not thread.is_alive(), "the thread beside the test hangs"
    if errors:
        raise errors[0]


def in_a_child(function: Callable[[], None]) -> None:
    """Run ``function`` in a forked child; fail with its traceback if it raised."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing of the test framework may run on from here.
        with contextlib.suppress(BaseException):
            try:
                function()
            except BaseException:
                os.write(writer, traceback.format_exc().encode()[-4000:])
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as report:
        text = report.read().decode()
    _, status = os.waitpid(child, 0)
    assert not text, text
    assert not status, f"the child ended with status {status}"
