"""Request queues, their credits and the charge on completion queues: RC-16 to RC-22."""

from __future__ import annotations

import socket

import pytest

from trio_rio.rio import RIO_MSG_DEFER, RequestQueue, RioCallError, RioError, Status

from .harness import Block, Table, refused


def test_rc_16a_both_maxima_zero_is_refused(table: Table) -> None:
    """A request queue without any credit is refused with WSAEINVAL."""
    ours, _ = table.tcp()
    cq = table.cq()
    with refused(Status.EINVAL):
        table.provider.create_request_queue(ours, 0, 1, 0, 1, cq, cq, 0)


def test_rc_16b_a_receive_only_queue(table: Table) -> None:
    """With no credit for sends receives work, and a send fails with WSAENOBUFS."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 1, 0)
    block = table.block()
    with refused(Status.ENOBUFS):
        table.send(rq, block.slice())
    table.receive(rq, block.slice())
    peer.send(b"x")
    assert table.one(cq).bytes_transferred == 1


def test_rc_16c_a_send_only_queue(table: Table) -> None:
    """With no credit for receives sends work, and a receive fails with WSAENOBUFS."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 0, 1)
    block = table.block()
    with refused(Status.ENOBUFS):
        table.receive(rq, block.slice())
    table.send(rq, block.put(b"x"))
    assert table.one(cq).bytes_transferred == 1
    assert peer.recv(10) == b"x"


def test_rc_17a_a_completion_queue_cannot_be_overcharged(table: Table) -> None:
    """A queue of 4 has room for 2 receives and 2 sends, and for no more: WSAENOBUFS."""
    first, second = table.tcp()
    cq = table.cq(4)
    table.rq(first, cq, 2, 2)
    assert (cq.capacity, cq.charged) == (4, 4)
    with refused(Status.ENOBUFS):
        table.rq(second, cq, 1, 0)
    assert cq.charged == 4


def test_rc_17b_each_direction_charges_its_own_queue(table: Table) -> None:
    """Receives charge the receive queue and sends the send queue."""
    first, second = table.tcp()
    receive_cq, send_cq = table.cq(4), table.cq(4)
    table.rq(first, receive_cq, 3, 1, send_cq=send_cq)
    assert (receive_cq.charged, send_cq.charged) == (3, 1)
    with refused(Status.ENOBUFS):
        table.rq(second, receive_cq, 2, 1, send_cq=send_cq)
    with refused(Status.ENOBUFS):
        table.rq(second, receive_cq, 1, 4, send_cq=send_cq)
    assert (receive_cq.charged, send_cq.charged) == (3, 1)
    table.rq(second, receive_cq, 1, 3, send_cq=send_cq)
    assert (receive_cq.charged, send_cq.charged) == (4, 4)


def test_rc_18_the_charge_comes_back(table: Table) -> None:
    """When the socket is closed and its results are dequeued, another can take its place."""
    first, second = table.tcp()
    cq = table.cq(4)
    rq = table.rq(first, cq, 2, 2)
    block = table.block()
    table.receive(rq, block.slice(0, 10), 1)
    table.receive(rq, block.slice(10, 10), 2)
    table.provider.close_socket(rq)
    assert {result.request_context for result in table.collect(cq, 2)} == {1, 2}
    assert cq.charged == 0
    table.rq(second, cq, 2, 2)


def test_rc_19a_one_request_too_many(table: Table) -> None:
    """With a maximum of 3 the fourth receive fails with WSAENOBUFS, and the three are not disturbed."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 3, 0)
    block = table.block()
    for number in range(3):
        table.receive(rq, block.slice(number, 1), number)
    with refused(Status.ENOBUFS):
        table.receive(rq, block.slice(3, 1), 3)
    peer.send(b"abcd")
    assert [result.request_context for result in table.collect(cq, 3)] == [0, 1, 2]
    assert block.get(3) == b"abc"


@pytest.mark.parametrize("is_send", [False, True], ids=["receive", "send"])
def test_rc_19b_deferred_requests_count(table: Table, is_send: bool) -> None:
    """A deferred request takes its credit at once."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 2, 2)
    block = table.block()
    post = table.send if is_send else table.receive
    for number in range(2):
        post(rq, block.slice(number, 1), number, RIO_MSG_DEFER)
    with refused(Status.ENOBUFS):
        post(rq, block.slice(2, 1), 2, RIO_MSG_DEFER)
    table.provider.commit_all()
    peer.send(b"ab")
    assert [result.request_context for result in table.collect(cq, 2)] == [0, 1]


def test_rc_20_a_credit_is_freed_by_the_dequeue(table: Table) -> None:
    """A receive that has finished still holds its credit; dequeueing its result gives it back."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 1, 0)
    block = table.block()
    table.receive(rq, block.slice())
    table.provider.notify(cq)
    peer.send(b"x")
    assert table.signals[cq].take() == 1
    with refused(Status.ENOBUFS):
        table.receive(rq, block.slice())
    assert table.provider.outstanding() == 1
    assert table.one(cq).status == 0
    assert table.provider.outstanding() == 0
    table.receive(rq, block.slice())


def fill(table: Table, rq: RequestQueue, block: Block, count: int) -> None:
    for number in range(count):
        table.receive(rq, block.slice(number, 1), number)


def test_rc_21a_growing_allows_more(table: Table) -> None:
    """After growing, as many more requests are taken, and the completion queues are charged for them."""
    ours, peer = table.tcp()
    cq = table.cq(8)
    rq = table.rq(ours, cq, 1, 1)
    block = table.block()
    fill(table, rq, block, 1)
    table.provider.resize_request_queue(rq, 4, 2)
    assert cq.charged == 6
    for number in range(1, 4):
        table.receive(rq, block.slice(number, 1), number)
    with refused(Status.ENOBUFS):
        table.receive(rq, block.slice(4, 1), 4)
    peer.send(b"abcd")
    assert [result.request_context for result in table.collect(cq, 4)] == [0, 1, 2, 3]


def test_rc_21b_growing_needs_room(table: Table) -> None:
    """Growing beyond the completion queue fails with WSAENOBUFS and changes nothing."""
    ours, _ = table.tcp()
    cq = table.cq(4)
    rq = table.rq(ours, cq, 2, 1)
    with refused(Status.ENOBUFS):
        table.provider.resize_request_queue(rq, 3, 2)
    assert cq.charged == 3
    block = table.block()
    fill(table, rq, block, 2)
    with refused(Status.ENOBUFS):
        table.receive(rq, block.slice())
    table.provider.resize_request_queue(rq, 3, 1)
    assert cq.charged == 4


def test_rc_21c_shrinking_below_what_is_outstanding(table: Table) -> None:
    """Shrinking below the requests outstanding fails with WSAETOOMANYREFS; down to them it succeeds."""
    ours, _ = table.tcp()
    cq = table.cq(8)
    rq = table.rq(ours, cq, 4, 4)
    fill(table, rq, table.block(), 2)
    with refused(Status.ETOOMANYREFS):
        table.provider.resize_request_queue(rq, 1, 4)
    with refused(Status.EINVAL):
        table.provider.resize_request_queue(rq, 0, 0)
    assert cq.charged == 8
    table.provider.resize_request_queue(rq, 2, 0)
    assert cq.charged == 2


def test_rc_21d_exchanging_receives_for_sends_needs_no_room(table: Table) -> None:
    """On one full completion queue a resize may give a receive up for a send."""
    ours, _ = table.tcp()
    cq = table.cq(4)
    rq = table.rq(ours, cq, 3, 1)
    table.provider.resize_request_queue(rq, 1, 3)
    assert cq.charged == 4
    block = table.block()
    for _ in range(3):
        table.send(rq, block.put(b"x"))
    assert len(table.collect(cq, 3)) == 3


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["stream", "datagram"])
@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="the system has no such sockets")
def test_rc_22a_a_socket_that_rio_cannot_serve(table: Table, kind: int) -> None:
    """A local socket is refused, and no completion queue is charged."""
    pair = socket.socketpair(socket.AF_UNIX, kind)
    table.sockets += pair
    cq = table.cq()
    with refused(Status.EOPNOTSUPP):
        table.rq(pair[0], cq)
    assert cq.charged == 0


def test_rc_22b_a_closed_socket(table: Table) -> None:
    """A socket that is closed is refused with WSAENOTSOCK."""
    ours, _ = table.tcp()
    ours.close()
    with refused(Status.ENOTSOCK):
        table.rq(ours, table.cq())


def test_rc_22c_a_raw_socket(table: Table) -> None:
    """A raw socket is refused with WSAEOPNOTSUPP."""
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    except PermissionError:
        pytest.skip("raw sockets are for the administrator")
    table.sockets.append(raw)
    with refused(Status.EOPNOTSUPP):
        table.rq(raw, table.cq())


def test_rc_22d_one_request_queue_for_a_socket(table: Table) -> None:
    """A second request queue on a socket is refused, and the first serves on."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 1, 1)
    with pytest.raises(RioCallError):
        table.rq(ours, cq, 1, 1)
    assert cq.charged == 2
    block = table.block()
    table.receive(rq, block.slice())
    peer.send(b"x")
    assert table.one(cq).status == 0


def test_rc_22e_another_object_for_the_same_socket(table: Table) -> None:
    """A second request queue is refused for another object with the same descriptor too, and the first serves on."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 1, 1)
    block = table.block()
    table.receive(rq, block.slice())
    again = socket.socket(fileno=ours.fileno())
    try:
        with refused(Status.EINVAL):
            table.rq(again, cq, 1, 1)
    finally:
        again.detach()
    assert cq.charged == 2
    peer.send(b"x")
    assert table.one(cq).status == 0


@pytest.mark.parametrize("name", ["post_receive", "post_send", "post_receive_from", "post_send_to", "commit_sends"])
def test_a_flat_function_is_made_once(table: Table, name: str) -> None:
    """Whether with the queue or when it is first asked for, it stays the same until the queue is closed."""
    ours, _ = table.tcp()
    rq = table.rq(ours, table.cq(), 1, 1)
    flat = getattr(rq, name)
    assert getattr(rq, name) == flat
    table.provider.close_socket(rq)
    with pytest.raises(RioError, match="closed"):
        getattr(rq, name)()


def test_a_request_queue_has_nothing_else(table: Table) -> None:
    """What it does not have is said by name."""
    ours, _ = table.tcp()
    with pytest.raises(AttributeError, match="post_nothing"):
        table.rq(ours, table.cq(), 1, 1).post_nothing  # type: ignore[attr-defined]  # noqa: B018
