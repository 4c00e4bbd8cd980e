"""What belongs to another provider, and what is closed: refused, and nothing else is touched.

Handles may be small numbers that are alike in every provider: what is made here in one is made in the other too.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator

import pytest

from trio_rio.rio import CompletionQueue, Provider, RequestQueue, RioError, SendRow, SlotRow, Status

from .harness import SignalKind, Table, open_table, refused

KINDS = pytest.mark.parametrize("kind", ["port", "event"])


@pytest.fixture
def other(provider_name: str) -> Iterator[Table]:
    """Another provider, of the same kind."""
    with open_table(provider_name) as table:
        yield table


@pytest.mark.parametrize(
    "use",
    [
        lambda provider, cq: provider.resize_completion_queue(cq, 99),
        lambda provider, cq: provider.completion_queue_usage(cq),
        lambda provider, cq: provider.close_completion_queue(cq),
    ],
    ids=["resize", "usage", "close"],
)
def test_a_completion_queue_of_another_provider(
    table: Table, other: Table, use: Callable[[Provider, CompletionQueue], object]
) -> None:
    """To resize it, to ask for its usage and to close it fails with WSAEINVAL."""
    cq, other_cq = table.cq(8), other.cq(8)
    with refused(Status.EINVAL):
        use(table.provider, other_cq)
    assert not other_cq.is_closed
    assert (cq.capacity, other_cq.capacity) == (8, 8)
    ours, _ = table.tcp()
    table.send(table.rq(ours, cq), table.block().put(b"x"))
    assert table.one(cq).status == 0


@pytest.mark.parametrize(
    "use",
    [
        lambda provider, rq, _: provider.resize_request_queue(rq, 5, 5),
        lambda provider, rq, _: provider.close_socket(rq),
        lambda provider, rq, _: provider.release_socket(rq),
        lambda provider, rq, _: provider.cancel(rq, 7),
        lambda provider, rq, buffer_id: provider.post_receives(rq, SlotRow(buffer_id, 0, 64, 64, 200, 28), 0, 1, 0),
        lambda provider, rq, buffer_id: provider.post_sends(rq, SendRow(buffer_id, 0, False, 0), array("I", [1]), 0, 0),
    ],
    ids=["resize", "close", "release", "cancel", "post receives", "post sends"],
)
def test_a_request_queue_of_another_provider(
    table: Table, other: Table, use: Callable[[Provider, RequestQueue, int], object]
) -> None:
    """Whatever is done to it fails with WSAEINVAL; a request posted here goes on.

    Where one request cannot be cancelled, cancelling fails with WSAEOPNOTSUPP.
    """
    ours, peer = table.udp()
    theirs, _ = other.udp()
    cq, other_cq = table.cq(), other.cq()
    rq, other_rq = table.rq(ours, cq, 4, 4), other.rq(theirs, other_cq, 4, 4)
    block, other_block = table.block(), other.block()
    table.receive(rq, block.slice(1000, 100), 7)
    other.receive(other_rq, other_block.slice(1000, 100), 7)
    with refused(Status.EINVAL, *(() if table.provider.can_cancel else (Status.EOPNOTSUPP,))):
        use(table.provider, other_rq, block.buffer.buffer_id)
    assert not other_rq.is_closed
    assert theirs.fileno() != -1
    assert (cq.charged, other_cq.charged) == (8, 8)
    assert (table.provider.outstanding(), other.provider.outstanding()) == (1, 1)
    peer.send(b"still here")
    assert table.one(cq) == (0, 10, 1, 7)


@KINDS
def test_a_closed_port_or_event_is_refused(table: Table, kind: SignalKind) -> None:
    """A completion queue for a port or an event that is closed could never tell: WSAEINVAL."""
    notification = table.signal(kind).notification
    table.notifications[-1].close()
    with refused(Status.EINVAL):
        table.provider.create_completion_queue(4, notification)


def test_a_closed_event_raises(table: Table) -> None:
    """To wait for an event that is closed, to set it and to reset it raises RioError."""
    event = table.new_event()
    event.close()
    event.close()
    uses: list[Callable[[], object]] = [lambda: event.wait(0), event.set, event.reset]
    for use in uses:
        with pytest.raises(RioError):
            use()


def test_a_closed_port_raises(table: Table) -> None:
    """To wait for a port that is closed and to wake it raises RioError."""
    port = table.new_port()
    port.close()
    port.close()
    uses: list[Callable[[], object]] = [lambda: port.wait(0), port.wake]
    for use in uses:
        with pytest.raises(RioError):
            use()
