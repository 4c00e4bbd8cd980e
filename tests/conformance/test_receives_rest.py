"""Reading a datagram socket past its queue: only where nothing is overtaken; and what rests meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from trio_rio.rio import RIO_MSG_DEFER
from trio_rio.rio.api import CompletionQueue, Port, RequestQueue

from .harness import PATIENCE_SECONDS, Table, in_a_child

NONE_HAS_STARTED = 1
RESULTS_ARE_THERE = 2


@pytest.fixture(autouse=True)
def can_rest(table: Table) -> None:
    """Only where there is such a call."""
    ours, _ = table.udp()
    if table.rq(ours, table.cq()).receives_rest is None:
        pytest.skip(f"{table.provider.name} has none")


def rest(rq: RequestQueue) -> int:
    assert rq.receives_rest is not None
    return rq.receives_rest()


def test_what_is_deferred_is_not_overtaken_by_a_read(table: Table) -> None:
    """A receive that has not started gets what is left."""
    ours, peer = table.udp()
    cq, block = table.cq(), table.block()
    rq = table.rq(ours, cq)
    table.receive(rq, block.slice(), 7, RIO_MSG_DEFER)
    peer.send(b"first")
    peer.send(b"second")
    assert rest(rq) == NONE_HAS_STARTED
    assert ours.recv(100) == b"first"
    assert table.one(cq).request_context == 7
    assert block.get(6) == b"second"


def test_a_receive_that_has_started_comes_first(table: Table) -> None:
    """Then the socket is not to be read."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.receive(rq, table.block().slice())
    assert rest(rq) == 0
    peer.send(b"x")
    table.one(cq)


def test_results_that_are_there_come_first(table: Table) -> None:
    """Also those that only the kernel's ring has yet."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    peer.send(b"x")
    table.receive(rq, table.block().slice())
    assert rest(rq) == RESULTS_ARE_THERE
    table.one(cq)


def test_without_a_receive_nothing_is_read(table: Table) -> None:
    """Whoever has posted none has no room, and what comes is to stay where it is."""
    ours, _ = table.udp()
    assert rest(table.rq(ours, table.cq())) == 0


def test_a_stream_is_not_read(table: Table) -> None:
    """It has no datagrams."""
    ours, _ = table.tcp()
    rq = table.rq(ours, table.cq())
    table.receive(rq, table.block().slice(), 0, RIO_MSG_DEFER)
    assert rest(rq) == 0


def port_of(table: Table, cq: CompletionQueue) -> Port:
    port: Port = table.signals[cq].notification.port  # type: ignore[union-attr]
    return port


def look(table: Table) -> int:
    """One look of the owner, as a run makes in a tick; how many requests the kernel has after it."""
    provider: Any = table.provider
    assert provider.wait(0, 0, provider.ffi.new("rio_event[]", 1), 1) == 0
    in_kernel: int = provider.info().operations_in_kernel
    return in_kernel


def test_a_wait_starts_what_rests(table: Table) -> None:
    """Nobody who waits for a datagram misses it."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.receive(rq, table.block().slice(), 0, RIO_MSG_DEFER)
    assert rest(rq) == NONE_HAS_STARTED
    peer.send(b"x")
    cq.arm()
    assert len(port_of(table, cq).wait(PATIENCE_SECONDS)) == 1
    table.one(cq)


def test_it_rests_for_two_looks(table: Table) -> None:
    """The third starts it, so that who never waits gets it too."""
    ours, _ = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.receive(rq, table.block().slice(), 0, RIO_MSG_DEFER)
    assert rest(rq) == NONE_HAS_STARTED
    assert [look(table) for _ in range(3)] == [0, 0, 1]


def test_other_requests_go_with_the_first_look(table: Table) -> None:
    """Receives of datagrams rest only while nothing else is to be submitted."""
    ours, _ = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    stream, _ = table.tcp()
    table.receive(rq, table.block().slice(), 0, RIO_MSG_DEFER)
    assert rest(rq) == NONE_HAS_STARTED
    table.receive(table.rq(stream, cq), table.block().slice(), 0, RIO_MSG_DEFER)
    assert look(table) == 2
    assert rest(rq) == 0


def test_a_child_reads_nothing(table: Table) -> None:
    """The socket of a forked child is its parent's."""
    ours, _ = table.udp()
    rq = table.rq(ours, table.cq())
    table.receive(rq, table.block().slice(), 0, RIO_MSG_DEFER)
    call = rq.receives_rest
    assert call is not None

    def ask_in_child() -> None:
        assert call() < 0

    in_a_child(ask_in_child)
    assert call() == NONE_HAS_STARTED


def test_a_closed_queue_has_none(table: Table) -> None:
    """Nor does a call that was kept say that the socket may be read."""
    ours, _ = table.udp()
    rq = table.rq(ours, table.cq())
    call = rq.receives_rest
    assert call is not None
    table.provider.release_socket(rq)
    assert rq.receives_rest is None
    assert call() == 0
