"""What only the portable provider has: readiness waits, packets handed over, sockets closed behind its back."""

from __future__ import annotations

import errno
import os
import select
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator

import attrs
import pytest

from trio_rio.rio import CompletionQueue, PortNotification, RequestQueue, RioError, Status, pack_address, unpack_address
from trio_rio.rio.portable import requests as _portable_requests
from trio_rio.rio.portable.provider import PortablePort, PortableProvider
from trio_rio.rio.portable.queues import CompletionState, native_address, packed_address
from trio_rio.rio.portable.readiness import SelectorWaits

from .harness import PATIENCE_SECONDS, Block, Table, in_a_child, refused, running


@attrs.define(eq=False)
class RecordingWaits(SelectorWaits):
    """Waits that count the changes of what is watched, and can be told to refuse."""

    changes: list[str] = attrs.field(factory=list)
    refusal: int = 0

    def watch(self, fd: int, read: bool, write: bool) -> None:
        self.changes.append("r" * read + "w" * write)
        if self.refusal:
            raise OSError(self.refusal, "refused")
        SelectorWaits.watch(self, fd, read, write)

    def unwatch(self, fd: int) -> None:
        self.changes.append("-")
        SelectorWaits.unwatch(self, fd)


@pytest.fixture
def waits() -> RecordingWaits:
    return RecordingWaits()


@pytest.fixture
def table(waits: RecordingWaits) -> Iterator[Table]:
    """A table whose waits are recorded."""
    provider = PortableProvider(waits)
    table = Table(provider)
    try:
        yield table
        table.settle()
    finally:
        for sock in table.sockets:
            sock.close()
        provider.close()


def portable(table: Table) -> PortableProvider:
    assert isinstance(table.provider, PortableProvider)
    return table.provider


# -- what is watched -------------------------------------------------------------------------------------


def test_a_busy_connection_is_watched_once_for_each_wait(table: Table, waits: RecordingWaits) -> None:
    """In a steady ping-pong each receive that has to wait registers the socket anew, and nothing else does."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    for _ in range(50):
        table.receive(rq, block.slice(0, 10))
        peer.send(b"ping")
        assert table.one(cq).bytes_transferred == 4
        table.send(rq, block.put(b"pong", 100))
        assert table.one(cq).bytes_transferred == 4
        assert peer.recv(10) == b"pong"
    assert waits.changes == ["r"] * 50


def test_nothing_is_reported_that_nobody_wants(table: Table, waits: RecordingWaits) -> None:
    """Data that comes while nothing is posted is not reported; a receive that has to wait asks again."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(0, 1), 1)
    peer.send(b"abc")
    assert table.one(cq).status == 0
    portable(table).progress()
    assert waits.changes == ["r"]
    assert waits.poll(0) == []
    for number in (2, 3, 4):
        table.receive(rq, block.slice(0, 1), number)
    assert waits.changes == ["r", "r"]
    peer.send(b"d")
    assert [result.request_context for result in table.collect(cq, 3)] == [2, 3, 4]


def test_both_directions_are_watched_apart(table: Table, waits: RecordingWaits) -> None:
    """A send that blocks adds its direction, and leaves the other when it is through."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block(8 << 20)
    table.receive(rq, block.slice(0, 1), 1)
    table.send(rq, block.slice(), 2)
    assert waits.changes == ["r", "rw"]

    def read() -> None:
        left = 8 << 20
        while left:
            left -= len(peer.recv(1 << 20))

    with running(read):
        assert table.one(cq).request_context == 2
    portable(table).progress()
    assert waits.changes == ["r", *["rw"] * (len(waits.changes) - 2), "r"]
    table.provider.close_socket(rq)
    assert waits.changes[-1] == "-"
    assert table.one(cq).request_context == 1


def test_a_refused_watch_ends_the_requests(table: Table, waits: RecordingWaits) -> None:
    """When the system does not watch a socket, the requests that would have to wait fail, and nothing hangs."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    waits.refusal = errno.ENOSPC
    table.receive(rq, table.block().slice(), 1)
    result = table.one(cq)
    assert result.request_context == 1
    assert isinstance(result.error, OSError)
    assert result.error.errno == errno.ENOSPC


def busy_and_waiting(table: Table, cq: CompletionQueue) -> tuple[RequestQueue, Block]:
    """A queue whose sends complete within the post, beside a socket whose receive (99) has its data already."""
    busy = table.rq(table.udp()[0], cq, 0, 1)
    ours, peer = table.udp()
    block = table.block()
    table.receive(table.rq(ours, cq, 1, 0), block.slice(), 99)
    peer.send(b"x")
    return busy, block


def test_a_queue_that_is_never_empty_starves_nobody(table: Table) -> None:
    """When each dequeue finds a result, readiness is looked at all the same, once in a while."""
    cq = table.polled_cq()
    busy, block = busy_and_waiting(table, cq)
    for number in range(50):
        table.send(busy, block.slice(0, 1), number)
        results = table.provider.dequeue_completion(cq, 2)
        assert results
        if any(result.request_context == 99 for result in results):
            return
    pytest.fail("the receive of the other socket was starved")


def test_a_port_that_always_has_a_packet_starves_nobody(table: Table) -> None:
    """When each wait finds a packet at once, readiness is looked at all the same."""
    signal = table.signal()
    cq, other = table.cq(16, signal), table.cq(16)
    _, block = busy_and_waiting(table, other)
    table.send(table.rq(table.udp()[0], cq, 0, 1), block.slice(0, 1))
    assert cq.arm() == 0
    assert signal.take() == 1
    state = other.handle
    assert isinstance(state, CompletionState)
    assert [raw for raw, *_ in state.results] == [(0, 1, 1, 99)]


# -- driven by an outer loop -----------------------------------------------------------------------------


needs_selector_descriptor = pytest.mark.skipif(
    not hasattr(selectors.DefaultSelector, "fileno"), reason="selectors of this system have no descriptor"
)


@needs_selector_descriptor
def test_an_outer_loop_drives_it(table: Table) -> None:
    """The descriptor becomes readable, progress() serves, and the packet is handed over at once."""
    provider = portable(table)
    port = provider.create_port()
    keys: list[int] = []
    port.on_packet = keys.append
    ours, peer = table.tcp()
    cq = provider.create_completion_queue(4, PortNotification(port, 77))
    rq: RequestQueue = provider.create_request_queue(ours, 1, 1, 1, 1, cq, cq, 0)
    block = table.block()
    assert rq.post_receive(block.buffer.buffer_id, 0, 10, 0, 5) == 0
    assert cq.arm() == 0
    peer.send(b"hello")
    assert select.select([provider.fileno()], [], [], PATIENCE_SECONDS)[0]
    assert cq.dequeue(4) == []  # it leaves readiness to the outer loop
    assert keys == []
    provider.progress()
    assert keys == [77]
    assert cq.dequeue(4) == [(0, 5, 0, 5)]
    assert rq.post_send(block.buffer.buffer_id, 0, 5, 0, 6) == 0
    assert cq.arm() == 0
    assert keys == [77, 77]
    assert cq.dequeue(4) == [(0, 5, 0, 6)]
    provider.close_socket(rq)


@needs_selector_descriptor
def test_a_packet_handler_may_post_and_dequeue(table: Table) -> None:
    """From within the handler the queue can be drained and the next receive posted, and the order holds."""
    provider = portable(table)
    port = provider.create_port()
    ours, peer = table.udp()
    cq = provider.create_completion_queue(8, PortNotification(port, 0))
    rq = provider.create_request_queue(ours, 4, 1, 1, 1, cq, cq, 0)
    block = table.block()
    buffer_id = block.buffer.buffer_id
    seen: list[int] = []

    def drain(_: int) -> None:
        for _, count, _, context in cq.dequeue(10):
            seen.append(block.memory[context % 8])
            assert count == 1
            if context < 20:
                assert rq.post_receive(buffer_id, (context + 2) % 8, 1, 0, context + 2) == 0
        cq.arm()

    port.on_packet = drain
    assert rq.post_receive(buffer_id, 0, 1, 0, 0) == 0
    assert rq.post_receive(buffer_id, 1, 1, 0, 1) == 0
    assert cq.arm() == 0
    for number in range(20):
        peer.send(bytes([number]))
    while len(seen) < 20:
        assert select.select([provider.fileno()], [], [], PATIENCE_SECONDS)[0]
        provider.progress()
    assert seen == list(range(20))
    port.on_packet = None
    provider.close_socket(rq)
    cq.dequeue(10)


# -- several threads -------------------------------------------------------------------------------------


def queue_on_own_port(table: Table) -> tuple[PortablePort, CompletionQueue, RequestQueue, socket.socket]:
    port = portable(table).create_port()
    cq = table.provider.create_completion_queue(4, PortNotification(port, 1))
    ours, peer = table.tcp()
    rq = table.provider.create_request_queue(ours, 2, 1, 2, 1, cq, cq, 0)
    assert cq.arm() == 0
    return port, cq, rq, peer


def test_each_of_two_waiting_threads_gets_its_packet(table: Table) -> None:
    """Whichever thread polls, each port's packet reaches the thread that waits there."""
    block = table.block()
    (port, cq, rq, peer), other = queue_on_own_port(table), queue_on_own_port(table)
    rounds = 200
    for queue in (rq, other[2]):
        assert queue.post_receive(block.buffer.buffer_id, 0, 1, 0, 0) == 0

    def serve(port: PortablePort, cq: CompletionQueue, rq: RequestQueue, answer_to: socket.socket) -> None:
        for _ in range(rounds):
            assert port.wait(PATIENCE_SECONDS) == [1]
            assert len(cq.dequeue(4)) == 1
            assert rq.post_receive(block.buffer.buffer_id, 0, 1, 0, 0) == 0
            assert cq.arm() == 0
            answer_to.send(b"x")

    # Each answers on the other's connection, so that they take turns.
    with running(lambda: serve(other[0], other[1], other[2], peer)):
        peer.send(b"x")
        serve(port, cq, rq, other[3])
    for queue in (rq, other[2]):
        table.provider.close_socket(queue)
    for queue_cq in (cq, other[1]):
        while table.provider.outstanding() and queue_cq.dequeue(4):
            pass


def test_a_post_of_another_thread_wakes_the_waiter(table: Table) -> None:
    """A send that completes within its post tells the thread that waits in the port."""
    port, cq, rq, _ = queue_on_own_port(table)
    block = table.block()
    waiting = threading.Event()

    def post() -> None:
        waiting.wait(PATIENCE_SECONDS)
        assert rq.post_send(block.buffer.buffer_id, 0, 1, 0, 3) == 0

    with running(post):
        waiting.set()
        assert port.wait(PATIENCE_SECONDS) == [1]
    assert cq.dequeue(4) == [(0, 1, 0, 3)]
    table.provider.close_socket(rq)


@pytest.mark.parametrize("what", ["port", "event", "provider"])
def test_closing_ends_a_wait_of_another_thread(what: str) -> None:
    """A thread that waits for ever returns when the port, the event or the whole provider is closed."""
    provider = PortableProvider()
    port, event = provider.create_port(), provider.create_event()
    outcomes: list[object] = []

    def wait() -> None:
        outcomes.append(event.wait(None) if what == "event" else port.wait(None))

    with running(wait):
        # Not before it is inside the poll, where it can be woken only by the other thread.
        while provider._driver._leader is None:
            time.sleep(0)
        close = {"port": port.close, "event": event.close, "provider": provider.close}[what]
        close()
    assert outcomes == [False if what == "event" else []]
    provider.close()


def test_closed_ports_and_events_raise(table: Table) -> None:
    """A closed port or event refuses waits, and queues that would notify it; closing twice is allowed."""
    for signal in (table.new_port(), table.new_event()):
        signal.close()
        signal.close()
        with pytest.raises(RioError, match="is closed"):
            signal.wait(0)
    port = portable(table).create_port()
    port.close()
    with refused(Status.EINVAL):
        table.provider.create_completion_queue(1, PortNotification(port, 0))
    with pytest.raises(RioError, match="is closed"):
        port.wake()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_flat_calls_of_a_forked_child_raise(table: Table) -> None:
    """The flat functions raise in a child too, even when the lock was held at the fork."""
    ours, _ = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    buffer_id = table.block().buffer.buffer_id

    def child() -> None:
        for use in (
            lambda: rq.post_receive(buffer_id, 0, 1, 0, 0),
            lambda: rq.post_send_to(buffer_id, 0, 1, buffer_id, 28, 0, 0),
            rq.commit_sends,
            lambda: cq.dequeue(1),
            cq.arm,
        ):
            with pytest.raises(RioError, match="child"):
                use()

    held, over = threading.Event(), threading.Event()

    def hold() -> None:
        with portable(table)._driver.lock:
            held.set()
            over.wait(PATIENCE_SECONDS)

    with running(hold):
        held.wait(PATIENCE_SECONDS)
        in_a_child(child)
        over.set()


def test_a_post_that_comes_too_late_finds_no_credit(table: Table) -> None:
    """A flat function that a thread took before another one closed the socket posts nothing any more."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    late = rq.post_receive
    table.receive(rq, block.slice(), 1)
    table.provider.close_socket(rq)
    assert late(block.buffer.buffer_id, 0, 1, 0, 2) == Status.ENOBUFS
    assert table.one(cq).request_context == 1
    assert late(block.buffer.buffer_id, 0, 1, 0, 3) == Status.ENOBUFS


# -- closed behind its back ------------------------------------------------------------------------------


@pytest.mark.parametrize("touch", ["post", "commit"])
def test_a_socket_closed_without_the_provider(table: Table, touch: str) -> None:
    """The requests of a socket that was simply closed end as WSAENOTSOCK at the next touch of its queue."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(), 1)
    ours.close()
    expected = [(Status.ENOTSOCK, 0, 1, 1)]
    if touch == "post":
        table.receive(rq, block.slice(), 2)
        expected.append((Status.ENOTSOCK, 0, 1, 2))
    else:
        assert rq.commit_receives() == 0
    assert [tuple(result) for result in table.collect(cq, len(expected))] == expected
    table.send(rq, block.slice(), 3)
    assert table.one(cq) == (Status.ENOTSOCK, 0, 1, 3)


def test_cancelling_on_a_socket_closed_without_the_provider(table: Table) -> None:
    """Cancelling still aborts its requests."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.receive(rq, table.block().slice(), 1)
    ours.close()
    table.provider.cancel(rq, 1)
    assert table.one(cq) == (Status.OPERATION_ABORTED, 0, 1, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows gives numbers in no order")
def test_a_number_that_is_in_use_again(table: Table) -> None:
    """A socket with the number of one that was closed without the provider gets a queue, and its own data."""
    cq = table.cq()
    block = table.block()
    ours, peer = table.tcp()
    lost = table.rq(ours, cq, context=1)
    table.receive(lost, block.slice(0, 10), 1)
    fd = ours.fileno()
    ours.close()
    again, other = table.tcp()
    if other.fileno() == fd:
        again, other = other, again
    assert again.fileno() == fd
    rq = table.rq(again, cq, context=2)
    assert table.one(cq) == (Status.ENOTSOCK, 0, 1, 1)
    table.receive(rq, block.slice(10, 10), 2)
    other.send(b"mine")
    assert table.one(cq) == (0, 4, 2, 2)
    table.provider.close_socket(lost)
    table.receive(rq, block.slice(10, 10), 3)
    other.send(b"still mine")
    assert table.one(cq) == (0, 10, 2, 3)
    assert peer.recv(10) == b""


# -- addresses -------------------------------------------------------------------------------------------


def test_the_address_book_is_bounded() -> None:
    """Ten thousand peers do not fill the memory, and each address stays right."""
    for number in range(10_000):
        address = (f"10.0.{number // 250}.{number % 250}", 1 + number)
        packed = packed_address(socket.AF_INET, address)
        assert packed == pack_address(socket.AF_INET, address)
        assert native_address(socket.AF_INET, packed) == unpack_address(packed)
    assert native_address.cache_info().currsize + packed_address.cache_info().currsize <= 2048


def test_flow_information_that_python_cannot_pass(table: Table) -> None:
    """An IPv6 address with more than 20 bits of flow information ends the send with an error."""
    ours, peer = table.udp(socket.AF_INET6, connected=False)
    cq = table.cq()
    rq = table.rq(ours, cq)
    host, port = peer.getsockname()[:2]
    block: Block = table.block()
    where = block.put(pack_address(socket.AF_INET6, (host, port, 1 << 24, 0)))
    table.provider.send_ex(rq, block.slice(100, 1), 1, None, where, None, None, 0, 0)
    assert table.one(cq).status == Status.EINVAL


def test_datagrams_without_recvmsg(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the socket module has no recvmsg_into, datagrams and their senders arrive as well."""
    monkeypatch.setattr(_portable_requests, "_HAS_RECVMSG", False)
    ours, peer = table.udp(connected=False)
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    where = block.slice(100, 28)
    table.provider.receive_ex(rq, block.slice(0, 10), 1, None, where, None, None, 0, 1)
    peer.send(b"hello")
    assert table.one(cq) == (0, 5, 1, 1)
    assert unpack_address(block.get(28, 100)) == peer.getsockname()
