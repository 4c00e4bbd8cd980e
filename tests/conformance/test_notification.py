"""Arming a completion queue and being told: RC-50 to RC-57."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from trio_rio.rio import RIO_MSG_DONT_NOTIFY, CompletionQueue, PortNotification, RequestQueue, Status

from .harness import PATIENCE_SECONDS, Block, Signal, SignalKind, Table, open_table, refused, running

CYCLES: dict[SignalKind, int] = {"port": 100_000, "event": 20_000}

KINDS = pytest.mark.parametrize("kind", ["port", "event"])


ECHO = """
import socket, sys
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while data := sock.recv(4096):
    sock.sendall(data)
"""


@contextlib.contextmanager
def echo_process(table: Table) -> Iterator[socket.socket]:
    """A socket whose other end is echoed by a process of its own, which shares no interpreter lock with the test."""
    listener = table.listener()
    command = [sys.executable, "-I", "-S", "-c", ECHO, str(listener.getsockname()[1])]
    with subprocess.Popen(command) as process:
        try:
            listener.settimeout(2 * PATIENCE_SECONDS)
            ours, _ = listener.accept()
            table.sockets.append(ours)
            ours.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield ours
        finally:
            process.kill()


class Source:
    """A queue on which each :meth:`finish` is one completed send."""

    def __init__(self, table: Table, kind: SignalKind, key: int = 0) -> None:
        self.table = table
        self.signal: Signal = table.signal(kind, key)
        self.cq: CompletionQueue = table.cq(64, self.signal)
        self.rq: RequestQueue = table.rq(table.tcp()[0], self.cq, 0, 32)
        self.block: Block = table.block()

    def finish(self, context: int = 0, flags: int = 0) -> None:
        """Let a request complete; on return its result is in the queue."""
        # Sends of one queue complete in order, so that the result of this one is known to be there
        # when another socket's request, begun later, has gone through the kernel.
        self.table.send(self.rq, self.block.put(b"x"), context, flags)
        self.table.provider.commit_all()
        ours, peer = self.table.udp()
        barrier = self.table.polled_cq(1)
        rq = self.table.rq(ours, barrier, 1, 0)
        self.table.receive(rq, self.block.slice(100, 1))
        peer.send(b"y")
        self.table.one(barrier)
        self.table.provider.close_socket(rq)

    def contexts(self) -> list[int]:
        return [result.request_context for result in self.table.provider.dequeue_completion(self.cq, 64)]


@KINDS
def test_rc_50_one_signal_for_each_arming(table: Table, kind: SignalKind) -> None:
    """Armed while empty, the queue tells once, at the first completion; not again until it is armed again."""
    source = Source(table, kind)
    table.provider.notify(source.cq)
    assert source.signal.take(0) == 0
    for context in range(3):
        source.finish(context)
    assert source.signal.take() == 1
    source.finish(3)
    assert source.signal.take(0) == 0
    assert source.contexts() == [0, 1, 2, 3]
    table.provider.notify(source.cq)
    assert source.signal.take(0) == 0
    source.finish(4)
    assert source.signal.take() == 1
    assert source.contexts() == [4]


@KINDS
def test_rc_50a_no_arming_no_signal(table: Table, kind: SignalKind) -> None:
    """A queue that is not armed never tells."""
    source = Source(table, kind)
    source.finish(1)
    assert source.signal.take(0) == 0
    assert source.contexts() == [1]


@KINDS
def test_rc_51_armed_with_a_result_in_it(table: Table, kind: SignalKind) -> None:
    """Arming a queue that holds a qualifying result tells at once."""
    source = Source(table, kind)
    source.finish(1)
    table.provider.notify(source.cq)
    assert source.signal.take(0) == 1
    assert source.signal.take(0) == 0
    table.provider.notify(source.cq)
    assert source.signal.take(0) == 1
    assert source.contexts() == [1]


@KINDS
def test_rc_52_arming_twice(table: Table, kind: SignalKind) -> None:
    """The second arming fails with WSAEALREADY, and there is one signal all the same."""
    source = Source(table, kind)
    table.provider.notify(source.cq)
    for _ in range(2):
        with refused(Status.EALREADY):
            table.provider.notify(source.cq)
    source.finish()
    assert source.signal.take() == 1
    assert source.signal.take(0) == 0
    table.provider.notify(source.cq)  # the first one has been spent


@KINDS
def test_rc_53a_silent_results_do_not_count(table: Table, kind: SignalKind) -> None:
    """A queue with DONT_NOTIFY results only counts as empty; a qualifying one tells; all come in order."""
    source = Source(table, kind)
    source.finish(0, RIO_MSG_DONT_NOTIFY)
    table.provider.notify(source.cq)
    assert source.signal.take(0) == 0
    source.finish(1, RIO_MSG_DONT_NOTIFY)
    assert source.signal.take(0) == 0
    source.finish(2)
    assert source.signal.take() == 1
    assert source.contexts() == [0, 1, 2]


def test_rc_53b_dequeued_results_do_not_count(table: Table) -> None:
    """What was dequeued does not qualify any more: the queue with the silent rest counts as empty."""
    source = Source(table, "port")
    source.finish(0)
    source.finish(1, RIO_MSG_DONT_NOTIFY)
    assert table.one(source.cq).request_context == 0
    table.provider.notify(source.cq)
    assert source.signal.take(0) == 0
    assert source.contexts() == [1]


def test_rc_53c_an_event_that_notify_resets(table: Table) -> None:
    """With notify_reset arming clears the event; without it the program must."""
    ours, _ = table.tcp()
    for notify_reset in (True, False):
        signal = table.signal("event", notify_reset=notify_reset)
        event = getattr(signal.notification, "event")  # noqa: B009 -- one kind of the two has it
        cq = table.cq(4, signal)
        event.set()
        table.provider.notify(cq)
        assert event.is_set is not notify_reset
        event.reset()
        assert not event.is_set
    rq = table.rq(ours, table.completion_queues[0], 0, 1)
    table.send(rq, table.block().put(b"x"))
    assert table.one(table.completion_queues[0]).status == 0


@KINDS
def test_rc_54_no_wakeup_is_lost(table: Table, kind: SignalKind) -> None:
    """ "Dequeue to empty, arm, wait" against a producer that races with the arming never hangs."""
    with echo_process(table) as ours:
        trigger = ours.dup()
        table.sockets.append(trigger)
        signal = table.signal(kind)
        cq = table.cq(4, signal)
        rq = table.rq(ours, cq, 1, 0)
        block = table.block()
        buffer_id = block.buffer.buffer_id
        rng = random.Random(54)
        for cycle in range(CYCLES[kind]):
            assert rq.post_receive(buffer_id, 0, 1, 0, cycle) == 0
            trigger.send(b"x")
            # The answer comes from another processor at about the time of the arming, before or after.
            for _ in range(rng.randrange(400)):
                pass
            assert cq.arm() == 0
            assert signal.take() == 1, f"hangs in cycle {cycle}"
            assert cq.dequeue(4) == [(0, 1, 1, cycle)]


def test_rc_54a_a_signal_with_nothing_to_dequeue(table: Table) -> None:
    """A program that drains once more after arming gets a signal for nothing, and no harm comes of it."""
    source = Source(table, "port")
    table.provider.notify(source.cq)
    source.finish(1)
    assert source.contexts() == [1]
    assert source.signal.take() == 1
    assert source.contexts() == []
    table.provider.notify(source.cq)
    source.finish(2)
    assert source.signal.take() == 1


def test_rc_55_a_polled_queue(table: Table) -> None:
    """Without notification the results come by dequeue alone, and arming is refused with WSAEINVAL."""
    ours, peer = table.tcp()
    cq = table.polled_cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(0, 10), 1)
    table.send(rq, block.put(b"ping", 20), 2)
    peer.send(b"pong")
    assert {result.request_context for result in table.collect(cq, 2)} == {1, 2}
    assert peer.recv(10) == b"ping"
    with refused(Status.EINVAL):
        table.provider.notify(cq)


def test_rc_56_two_queues_on_one_port(table: Table) -> None:
    """Two queues that notify one port are told apart by their keys, and arm independently."""
    port = table.new_port()
    keys = (3, (1 << 63) - 1)
    sources = []
    for key in keys:
        source = Source(table, "port")
        cq = table.cq(8, Signal("port", PortNotification(port, key)))
        source.cq, source.rq = cq, table.rq(table.tcp()[0], cq, 0, 4)
        sources.append(source)
    table.provider.notify(sources[1].cq)
    sources[0].finish()
    sources[1].finish()
    assert port.wait(PATIENCE_SECONDS) == [keys[1]]
    table.provider.notify(sources[0].cq)
    assert port.wait(PATIENCE_SECONDS) == [keys[0]]
    for source in sources:
        table.provider.notify(source.cq)
    keys_seen: list[int] = []
    while len(keys_seen) < 2:
        more = port.wait(PATIENCE_SECONDS)
        assert more
        keys_seen += more
    assert sorted(keys_seen) == sorted(keys)
    assert port.wait(0) == []


def test_rc_56a_two_queues_with_their_own_events(table: Table) -> None:
    """Each queue sets its own event, and not the other's."""
    first, second = Source(table, "event"), Source(table, "event")
    table.provider.notify(first.cq)
    table.provider.notify(second.cq)
    second.finish()
    assert first.signal.take(0) == 0
    assert second.signal.take() == 1
    first.finish()
    assert first.signal.take() == 1
    assert second.signal.take(0) == 0


def test_rc_56b_a_port_of_another_provider(table: Table) -> None:
    """A queue cannot notify a port or event of another provider: WSAEINVAL."""
    with open_table(table.provider.name) as other:
        for signal in (other.signal("port"), other.signal("event")):
            with refused(Status.EINVAL):
                table.provider.create_completion_queue(4, signal.notification)


def test_rc_56c_waking_a_port(table: Table) -> None:
    """A wake ends the wait that is running, or else the next one, without a packet; packets stay."""
    source = Source(table, "port")
    port = getattr(source.signal.notification, "port")  # noqa: B009 -- one kind of the two has it
    port.wake()
    assert port.wait(PATIENCE_SECONDS) == []
    waiting = threading.Event()

    def wake() -> None:
        waiting.wait(PATIENCE_SECONDS)
        port.wake()

    began = time.monotonic()
    with running(wake):
        waiting.set()
        assert port.wait(2 * PATIENCE_SECONDS) == []
    assert time.monotonic() - began < 2 * PATIENCE_SECONDS
    source.finish()
    table.provider.notify(source.cq)
    port.wake()
    assert port.wait(PATIENCE_SECONDS) == [0]


def test_rc_57_a_saturated_socket_starves_nobody(table: Table) -> None:
    """With bounded drains of a flooded socket, a fresh connection is accepted and served within a second."""
    ours, peer = table.tcp()
    signal = table.signal()
    cq = table.cq(64, signal)
    flooded = table.rq(ours, cq, 16, 0, context=1)
    block = table.block(16 * 1024)
    listener = table.listener()
    listener.setblocking(False)
    is_over = threading.Event()
    served_after: list[float] = []

    def flood() -> None:
        data = os.urandom(1 << 16)
        with contextlib.suppress(ConnectionError):  # the end of the test
            while not is_over.is_set():
                peer.sendall(data)

    def connect() -> None:
        began = time.process_time()  # others on the machine do not count
        with socket.create_connection(listener.getsockname(), timeout=PATIENCE_SECONDS) as client:
            client.send(b"serve me")
            assert client.recv(10) == b"served"
        served_after.append(time.process_time() - began)
        is_over.set()

    for slot in range(16):
        table.receive(flooded, block.slice(slot * 64, 64), slot)
    fresh: RequestQueue | None = None
    deadline = time.monotonic() + PATIENCE_SECONDS
    with running(flood), running(connect):
        try:
            while not is_over.is_set() and time.monotonic() < deadline:
                for result in table.provider.dequeue_completion(cq, 8):
                    slot = result.request_context
                    if result.socket_context == 1:
                        table.receive(flooded, block.slice(slot * 64, 64), slot)
                    elif slot == 100:
                        assert fresh is not None
                        table.send(fresh, block.put(b"served", 8192), 101)
                if fresh is None:
                    try:
                        accepted, _ = listener.accept()
                    except BlockingIOError:
                        pass
                    else:
                        table.sockets.append(accepted)
                        fresh = table.rq(accepted, cq, 1, 1, context=2)
                        table.receive(fresh, block.slice(4096, 64), 100)
                assert cq.arm() in (0, Status.EALREADY)
                signal.take(0)
        finally:
            is_over.set()
            table.provider.close_socket(flooded)
    assert served_after
    assert served_after[0] < 1
