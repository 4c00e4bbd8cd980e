"""Trying the sends of a socket: whether one has to wait, known exactly and on demand."""

from __future__ import annotations

import pytest

from trio_rio._cli.selftest.bench import read_exactly
from trio_rio.rio import Status

from .harness import Table, open_table, refused

BIG = 32 << 20


@pytest.fixture(autouse=True)
def can_tell(table: Table) -> None:
    """Only where that can be known."""
    if not table.provider.can_cancel:
        pytest.skip(f"{table.provider.name} completes a send when the peer has acknowledged it")


def test_without_a_send_none_has_to_wait(table: Table) -> None:
    """Nor when the ones before have completed."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    assert not table.provider.try_sends(rq)
    table.send(rq, table.block().put(b"x"))
    assert not table.provider.try_sends(rq)
    assert table.one(cq).bytes_transferred == 1
    assert read_exactly(peer, 1) == b"x"


def test_one_that_the_socket_does_not_take_has_to_wait(table: Table) -> None:
    """Until the peer has read: then it goes on within the call, and so does the one behind it."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    data = bytes(range(256)) * (BIG // 256)
    block = table.block(BIG)
    block.put(data)
    table.send(rq, block.slice(), 1)
    table.send(rq, block.slice(0, 10), 2)
    assert table.provider.try_sends(rq)
    assert table.provider.try_sends(rq)  # asking changes nothing
    table.assert_nothing_comes(cq)
    received = bytearray()
    while table.provider.try_sends(rq):
        received += peer.recv(1 << 20)
    assert [result.request_context for result in table.collect(cq, 2)] == [1, 2]
    received += read_exactly(peer, BIG + 10 - len(received))
    assert received == data + data[:10]


def test_one_that_is_cancelled_does_not_count(table: Table) -> None:
    """From the cancellation on."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.send(rq, table.block(BIG).slice(), 1)
    assert table.provider.try_sends(rq)
    table.provider.cancel(rq, 1)
    assert not table.provider.try_sends(rq)
    assert table.one(cq).status == Status.OPERATION_ABORTED


def test_a_cancelled_receive_gets_nothing_that_comes_later(table: Table) -> None:
    """The cancellation is done when the call returns, without a commit, a wait or a dequeue."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(0, 10), 1)
    table.provider.commit_all()
    table.provider.cancel(rq, 1)
    peer.send(b"later")
    table.receive(rq, block.slice(10, 10), 2)
    assert [(r.status, r.bytes_transferred, r.request_context) for r in table.collect(cq, 2)] == [
        (Status.OPERATION_ABORTED, 0, 1),
        (0, 5, 2),
    ]


def test_of_another_provider(table: Table) -> None:
    """Refused as elsewhere."""
    with open_table(table.provider.name) as other:
        theirs, _ = other.tcp()
        rq = other.rq(theirs, other.cq())
        with refused(Status.EINVAL):
            table.provider.try_sends(rq)
