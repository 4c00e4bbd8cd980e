"""Sending past the queue: what the socket takes at once, and only where nothing of the queue is overtaken."""

from __future__ import annotations

import pytest

from trio_rio._cli.selftest.bench import read_exactly

from .harness import Table, in_a_child

BIG = 32 << 20


@pytest.fixture(autouse=True)
def can_send_now(table: Table) -> None:
    """Only where there is such a call."""
    ours, _ = table.tcp()
    if table.rq(ours, table.cq()).send_now is None:
        pytest.skip(f"{table.provider.name} has none")


def test_it_sends_at_once_and_completes_nothing(table: Table) -> None:
    """The count is that of the bytes."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    assert rq.send_now is not None
    assert rq.send_now(b"hello", 5) == 5
    assert read_exactly(peer, 5) == b"hello"
    table.assert_nothing_comes(cq)


def test_it_overtakes_nothing(table: Table) -> None:
    """While a send is posted it sends nothing."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.send(rq, table.block(BIG).slice())
    assert rq.send_now is not None
    assert rq.send_now(b"x", 1) == 0


def test_a_full_socket_takes_nothing(table: Table) -> None:
    """It says 0, and does not wait."""
    ours, _ = table.tcp()
    rq = table.rq(ours, table.cq())
    assert rq.send_now is not None
    while rq.send_now(bytes(1 << 16), 1 << 16):
        pass
    assert rq.send_now(b"x", 1) == 0


def test_a_child_sends_nothing(table: Table) -> None:
    """The connection of a forked child is its parent's."""
    ours, peer = table.tcp()
    rq = table.rq(ours, table.cq())
    send = rq.send_now
    assert send is not None

    def send_in_child() -> None:
        assert send(b"child", 5) == 0

    in_a_child(send_in_child)
    assert send(b"parent", 6) == 6
    assert read_exactly(peer, 6) == b"parent"


def test_a_closed_queue_has_none(table: Table) -> None:
    """Nor does a call that was kept reach anything."""
    ours, _ = table.tcp()
    rq = table.rq(ours, table.cq())
    send = rq.send_now
    assert send is not None
    table.provider.release_socket(rq)
    assert rq.send_now is None
    assert send(b"x", 1) == 0
