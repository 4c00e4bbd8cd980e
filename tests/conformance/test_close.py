"""What becomes of requests when their socket, or their completion queue, is closed: RC-32 to RC-37."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from trio_rio.rio import (
    RIO_MSG_COMMIT_ONLY,
    RIO_MSG_WAITALL,
    CompletionQueue,
    RequestQueue,
    RioError,
    RioResult,
    Status,
)

from .harness import FAMILIES, PATIENCE_SECONDS, Block, Table

BIG = 8 << 20


def queue_with_requests(table: Table, ours: socket.socket, cq: CompletionQueue) -> tuple[RequestQueue, Block]:
    """Three receives that nothing comes for (contexts 0 to 2), and two sends that nobody reads (10 and 11)."""
    rq = table.rq(ours, cq)
    block = table.block(BIG + 100)
    for number in range(3):
        table.receive(rq, block.slice(number * 10, 10), number)
    for number in range(10, 12):
        table.send(rq, block.slice(100, BIG), number)
    return rq, block


@pytest.mark.parametrize("family", FAMILIES)
def test_rc_32a_every_request_of_a_closed_stream_completes_once(table: Table, family: int) -> None:
    """Closing the socket completes each outstanding receive and send, exactly once, within five seconds."""
    ours, _ = table.tcp(family)
    cq = table.cq()
    rq, _ = queue_with_requests(table, ours, cq)
    table.provider.close_socket(rq)
    assert ours.fileno() == -1
    results = table.collect(cq, 5)
    assert sorted(result.request_context for result in results) == [0, 1, 2, 10, 11]
    table.assert_nothing_comes(cq)


def test_rc_32b_every_request_of_a_closed_datagram_socket_completes_once(table: Table) -> None:
    """The same for receives of a datagram socket."""
    ours, _ = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    for number in range(4):
        table.receive(rq, block.slice(number * 10, 10), number)
    table.provider.close_socket(rq)
    results = table.collect(cq, 4)
    assert sorted(result.request_context for result in results) == [0, 1, 2, 3]
    assert all(result.status for result in results)


def test_rc_32c_the_peer_sees_the_end_at_once(table: Table) -> None:
    """With a receive posted, closing the socket ends the stream for the peer before anything is dequeued."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.receive(rq, table.block().slice())
    table.provider.close_socket(rq)
    assert peer.recv(10) == b""
    assert table.one(cq).status != 0


def test_rc_32d_closing_twice_is_nothing(table: Table) -> None:
    """A socket can be closed again; its requests complete once all the same."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.receive(rq, table.block().slice())
    for _ in range(3):
        table.provider.close_socket(rq)
        table.provider.release_socket(rq)
    assert table.one(cq).status != 0
    table.assert_nothing_comes(cq)


def test_rc_32e_a_released_socket_stays_open(table: Table) -> None:
    """Releasing ends the requests in the same way, and leaves the socket to its owner.

    Where nothing but the end of the socket ends a request, there must be none.
    """
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    if table.provider.can_cancel:
        table.receive(rq, block.slice(), 3)
    table.provider.release_socket(rq)
    if table.provider.can_cancel:
        result = table.one(cq)
        assert (result.status, result.request_context) == (Status.OPERATION_ABORTED, 3)
    peer.sendall(b"for the owner")
    ours.setblocking(True)
    assert ours.recv(100) == b"for the owner"
    with pytest.raises(RioError):
        table.receive(rq, block.slice())


def test_rc_33_memory_is_held_until_the_dequeue(table: Table) -> None:
    """The memory of an aborted request is let go when its result is dequeued, and not before."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice())
    table.provider.close_socket(rq)
    table.provider.deregister_buffer(block.buffer)
    assert block.is_held
    assert table.one(cq).status != 0
    assert not block.is_held


def test_rc_33a_ids_serve_on_after_an_abort(table: Table) -> None:
    """A registration whose request was aborted can be used for another socket."""
    first, _ = table.tcp()
    second, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(first, cq)
    block = table.block()
    table.receive(rq, block.slice())
    table.provider.close_socket(rq)
    assert table.one(cq).status != 0
    table.receive(table.rq(second, cq), block.slice())
    peer.send(b"again")
    assert block.get(table.one(cq).bytes_transferred) == b"again"


def test_rc_34_results_keep_the_name_of_their_socket(table: Table) -> None:
    """A late result of a closed socket carries its old contexts, though the descriptor is in use again."""
    cq = table.cq()
    block = table.block()
    ours, _ = table.tcp()
    number = ours.fileno()
    old = table.rq(ours, cq, context=111)
    table.receive(old, block.slice(0, 10), 1)
    table.provider.close_socket(old)
    again, peer = table.tcp()
    newer = [sock for sock in (again, peer) if sock.fileno() == number]
    assert newer or sys.platform == "win32", "the system gives the lowest number that is free"
    newer = newer or [again]  # Windows need not
    other = peer if newer[0] is again else again
    new = table.rq(newer[0], cq, context=222)
    table.receive(new, block.slice(10, 10), 2)
    other.send(b"x")
    results = {result.socket_context: result for result in table.collect(cq, 2)}
    assert results[222] == (0, 1, 222, 2)
    assert results[111].request_context == 1
    assert results[111].status != 0


def test_rc_34a_a_descriptor_that_is_used_again(table: Table) -> None:
    """A socket closed behind the provider's back leaves its descriptor to another, which gets a queue of its own."""
    cq = table.cq()
    block = table.block()
    ours, _ = table.tcp()
    number = ours.fileno()
    table.rq(ours, cq, context=111)
    ours.close()
    newer, peer = table.tcp()
    if newer.fileno() != number:
        newer, peer = peer, newer
    if newer.fileno() != number:
        pytest.skip("the system gave another number")  # as Windows may
    rq = table.rq(newer, cq, context=222)
    table.receive(rq, block.slice())
    peer.send(b"x")
    assert table.one(cq) == (0, 1, 222, 0)


def test_rc_35a_the_status_tells_the_truth(table: Table) -> None:
    """After a close the status is not 0, unless the operation had really finished with the bytes it reports."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq, _ = queue_with_requests(table, ours, cq)
    table.provider.close_socket(rq)
    by_context: dict[int, RioResult] = {result.request_context: result for result in table.collect(cq, 5)}
    for number in range(3):
        assert by_context[number].status != 0
        assert by_context[number].bytes_transferred == 0
    for number in range(10, 12):
        assert by_context[number].status != 0
        assert by_context[number].bytes_transferred < BIG
    assert by_context[11].bytes_transferred == 0


def test_rc_35b_a_finished_receive_stays_finished(table: Table) -> None:
    """A receive that completed before the close is reported with its bytes."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(), 5)
    table.provider.notify(cq)
    peer.send(b"in time")
    assert table.signals[cq].take() == 1
    table.provider.close_socket(rq)
    assert table.one(cq) == (0, 7, 1, 5)
    assert block.get(7) == b"in time"


def test_rc_35c_a_half_filled_waitall_is_no_success(table: Table) -> None:
    """A WAITALL receive that was waiting for more is aborted; no bytes pass for the end of the stream."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.receive(rq, table.block().slice(0, 100), 0, RIO_MSG_WAITALL)
    peer.send(b"half")
    table.assert_nothing_comes(cq)
    table.provider.close_socket(rq)
    result = table.one(cq)
    assert result.status != 0
    assert result.bytes_transferred in (0, 4)


def test_rc_36_a_dead_request_queue_raises(table: Table) -> None:
    """Whatever is asked of the queue of a closed socket raises RioError, commits and flat calls too."""
    provider = table.provider
    ours, _ = table.udp()
    rq = table.rq(ours, table.cq())
    block = table.block()
    data = block.slice(0, 100)
    provider.close_socket(rq)
    assert rq.is_closed
    for call in (provider.receive, provider.send):
        with pytest.raises(RioError):
            call(rq, data, 1, 0, 0)
        with pytest.raises(RioError):
            call(rq, None, 0, RIO_MSG_COMMIT_ONLY, 0)
    for call_ex in (provider.receive_ex, provider.send_ex):
        with pytest.raises(RioError):
            call_ex(rq, data, 1, None, data, None, None, 0, 0)
        with pytest.raises(RioError):
            call_ex(rq, None, 0, None, None, None, None, RIO_MSG_COMMIT_ONLY, 0)
    with pytest.raises(RioError):
        provider.resize_request_queue(rq, 1, 1)
    with pytest.raises(RioError):
        rq.post_receive(block.buffer.buffer_id, 0, 1, 0, 0)
    with pytest.raises(RioError):
        rq.commit_sends()
    provider.commit_all()


def test_rc_37_a_completion_queue_closed_too_early(table: Table) -> None:
    """Results of requests whose completion queue is closed are dropped, and closing the sockets later is safe."""
    ours, _ = table.tcp()
    cq = table.cq()
    rq, block = queue_with_requests(table, ours, cq)
    table.close_cq(cq)
    table.provider.close_socket(rq)
    # Nobody can dequeue them; the provider lets go of them by itself.
    other = table.cq()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while table.provider.outstanding() and time.monotonic() < deadline:
        table.assert_nothing_comes(other)
    assert table.provider.outstanding() == 0
    table.provider.deregister_buffer(block.buffer)
    table.assert_nothing_comes(other)
    assert not block.is_held


def queue_with_a_result(table: Table) -> tuple[CompletionQueue, Block]:
    """A completion queue in which the result of a receive waits, and the memory of that receive."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice())
    table.provider.notify(cq)
    peer.send(b"never seen")
    assert table.signals[cq].take() == 1
    return cq, block


def test_rc_37a_results_in_a_closed_queue_are_dropped(table: Table) -> None:
    """Results that wait in the queue when it is closed go with it, and let go of their memory."""
    cq, block = queue_with_a_result(table)
    table.close_cq(cq)
    assert table.provider.outstanding() == 0
    table.provider.deregister_buffer(block.buffer)
    assert not block.is_held


def test_rc_37b_memory_that_only_a_closed_queue_held(table: Table) -> None:
    """Memory that was deregistered while its result waited is let go of with the completion queue."""
    cq, block = queue_with_a_result(table)
    table.provider.deregister_buffer(block.buffer)
    assert block.is_held
    table.close_cq(cq)
    assert not block.is_held
