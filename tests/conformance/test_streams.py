"""Transfer on streams: RC-23 to RC-31."""

from __future__ import annotations

import hashlib
import random
import socket
from collections import deque

import pytest

from trio_rio._cli.selftest.bench import read_exactly
from trio_rio.rio import RIO_MSG_DEFER, RIO_MSG_WAITALL, CompletionQueue, RequestQueue

from ..platforms import RESET_AT_CLOSE, skip_if_wine_ended_it
from .harness import FAMILIES, Block, Table, running

# For each number of posted receives; together the 64 MiB of the statement.
STREAM_BYTES = 16 << 20


def reset(sock: socket.socket) -> None:
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    sock.close()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [1, 65536, 4 << 20])
def test_rc_23_a_send_completes_once_with_all_its_bytes(table: Table, family: int, size: int) -> None:
    """A send of K bytes completes once, with status 0 and K bytes, and the peer has them."""
    ours, peer = table.tcp(family)
    cq = table.cq()
    rq = table.rq(ours, cq)
    data = random.Random(size).randbytes(size)
    block = table.block(size)
    block.put(data)
    received: list[bytes] = []
    with running(lambda: received.append(read_exactly(peer, size))):
        table.send(rq, block.slice(), 7)
        assert table.one(cq) == (0, size, 1, 7)
    assert received == [data]
    table.assert_nothing_comes(cq)


@pytest.mark.parametrize("context", [0, 1, 1 << 31, (1 << 32) + 1, (1 << 63) - 1])
def test_rc_24a_contexts_come_back(table: Table, context: int) -> None:
    """Socket context and request context are echoed bit for bit, for receives and for sends."""
    ours, peer = table.tcp()
    cq, send_cq = table.cq(), table.cq()
    rq = table.rq(ours, cq, send_cq=send_cq, context=context)
    block = table.block()
    table.receive(rq, block.slice(0, 10), context)
    table.send(rq, block.put(b"x", 20), (1 << 63) - 1 - context)
    peer.send(b"abc")
    assert table.one(cq) == (0, 3, context, context)
    assert table.one(send_cq) == (0, 1, context, (1 << 63) - 1 - context)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [1, 5, 100])
def test_rc_24b_a_receive_takes_what_fits(table: Table, family: int, length: int) -> None:
    """A receive completes with at least one byte and at most its length; the rest is for the next."""
    ours, peer = table.tcp(family)
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    peer.sendall(b"0123456789")
    data = b""
    while len(data) < 10:
        table.receive(rq, block.slice(0, length))
        result = table.one(cq)
        assert result.status == 0
        assert 1 <= result.bytes_transferred <= length
        data += block.get(result.bytes_transferred)
    assert data == b"0123456789"


@pytest.mark.parametrize("posted", [1, 2, 4, 16])
def test_rc_25_posted_receives_fill_in_order(table: Table, posted: int) -> None:
    """With N receives posted all the time, their slices one after the other are the peer's stream."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, posted, 0)
    slice_bytes = 40_000
    block = table.block(posted * slice_bytes)
    rng = random.Random(posted)
    source = rng.randbytes(1 << 20)
    sent, received = hashlib.sha256(), hashlib.sha256()

    def write() -> None:
        left = STREAM_BYTES
        while left:
            size = min(left, rng.randint(1, 150_000))
            start = rng.randrange(len(source) - size)
            sent.update(source[start : start + size])
            peer.sendall(source[start : start + size])
            left -= size
        peer.shutdown(socket.SHUT_WR)

    for slot in range(posted):
        table.receive(rq, block.slice(slot * slice_bytes, slice_bytes), slot)
    total, expected_slot = 0, 0
    with running(write):
        while True:
            (result,) = table.collect(cq, 1)
            slot = result.request_context
            assert (result.status, slot) == (0, expected_slot)
            if not result.bytes_transferred:
                break
            received.update(block.get(result.bytes_transferred, slot * slice_bytes))
            total += result.bytes_transferred
            table.receive(rq, block.slice(slot * slice_bytes, slice_bytes), slot)
            expected_slot = (slot + 1) % posted
    assert total == STREAM_BYTES
    assert received.digest() == sent.digest()


@pytest.mark.parametrize("posted", [1, 2, 4, 16])
def test_rc_26a_posted_sends_go_out_in_order(table: Table, posted: int) -> None:
    """With N sends posted all the time, the peer reads them one after the other."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 0, posted)
    slice_bytes = 30_000
    block = table.block(posted * slice_bytes)
    rng = random.Random(posted)
    chunks = [rng.randbytes(rng.randint(1, slice_bytes)) for _ in range(300)]
    free = deque(range(posted))
    received: list[bytes] = []
    total = sum(map(len, chunks))
    with running(lambda: received.append(read_exactly(peer, total))):
        done = 0
        for number, chunk in enumerate(chunks):
            if not free:
                result = table.one(cq)
                assert (result.status, result.request_context) == (0, done)
                assert result.bytes_transferred == len(chunks[done])
                free.append(done % posted)
                done += 1
            table.send(rq, block.put(chunk, free.popleft() * slice_bytes), number)
        assert len(table.collect(cq, len(chunks) - done)) == len(chunks) - done
    assert received == [b"".join(chunks)]


def echo_deferred(table: Table, rq: RequestQueue, cq: CompletionQueue, block: Block, total: int) -> int:
    """Echo ``total`` bytes with everything deferred, one commit of each direction for each batch of results."""
    slots, slice_bytes, send_flag = 8, len(block.memory) // 8, 1 << 32
    echoed = 0
    for slot in range(slots):
        table.receive(rq, block.slice(slot * slice_bytes, slice_bytes), slot, RIO_MSG_DEFER)
    while echoed < total:
        rq.commit_receives()
        rq.commit_sends()
        results = table.collect(cq, 1)
        results += table.provider.dequeue_completion(cq, 64)
        for result in results:
            assert result.status == 0
            slot = result.request_context & ~send_flag
            if result.request_context & send_flag:
                echoed += result.bytes_transferred
                table.receive(rq, block.slice(slot * slice_bytes, slice_bytes), slot, RIO_MSG_DEFER)
            else:
                data = block.slice(slot * slice_bytes, result.bytes_transferred)
                table.send(rq, data, slot | send_flag, RIO_MSG_DEFER)
    return echoed


def test_rc_26b_full_duplex_deferred(table: Table) -> None:
    """An echo with deferred requests and batched commits returns every byte in order."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 8, 8)
    data = random.Random(26).randbytes(4 << 20)
    received: list[bytes] = []
    with running(lambda: peer.sendall(data)), running(lambda: received.append(read_exactly(peer, len(data)))):
        assert echo_deferred(table, rq, cq, table.block(8 * 16384), len(data)) == len(data)
    assert received == [data]


def test_rc_27a_waitall_waits_for_all(table: Table) -> None:
    """A WAITALL receive does not complete with a part; it completes once, with everything."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block(1000)
    table.receive(rq, block.slice(), 9, RIO_MSG_WAITALL)
    for part in range(4):
        peer.sendall(bytes([part]) * 200)
        table.assert_nothing_comes(cq)
    peer.sendall(b"\4" * 300)
    assert table.one(cq) == (0, 1000, 1, 9)
    assert block.get(1000) == b"".join(bytes([part]) * 200 for part in range(5))
    table.receive(rq, block.slice(), 10)
    assert table.one(cq) == (0, 100, 1, 10)


def test_rc_27b_waitall_ends_with_the_stream(table: Table) -> None:
    """When the peer closes first, a WAITALL receive completes with what came, or with an error."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block(1000)
    table.receive(rq, block.slice(), 9, RIO_MSG_WAITALL)
    peer.sendall(b"x" * 300)
    peer.close()
    result = table.one(cq)
    assert result.status != 0 or result.bytes_transferred == 300
    assert block.get(300) == b"x" * 300


def test_rc_28_the_peer_closes(table: Table) -> None:
    """After all data the oldest receive completes with status 0 and no bytes, and each other exactly once."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    for number in range(4):
        table.receive(rq, block.slice(number * 10, 10), number)
    peer.sendall(b"bye")
    peer.shutdown(socket.SHUT_WR)
    first, second, *others = table.collect(cq, 4)
    assert first == (0, 3, 1, 0)
    assert block.get(3) == b"bye"
    assert second == (0, 0, 1, 1)
    assert [result.request_context for result in others] == [2, 3]
    assert all(result.status or not result.bytes_transferred for result in others)
    table.assert_nothing_comes(cq)


def test_rc_29_the_peer_resets(table: Table) -> None:
    """A pending receive ends with a status other than 0 when the peer resets the connection."""
    ours, peer = table.tcp()
    cq = table.cq()
    table.receive(table.rq(ours, cq), table.block().slice())
    reset(peer)
    result = table.one(cq)
    if result.status == 0:
        skip_if_wine_ended_it()
    assert result.status != 0
    assert isinstance(result.error, ConnectionError)


def test_rc_29a_sending_after_a_reset(table: Table) -> None:
    """Sends end with an error, each exactly once, when the peer has reset the connection."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice(0, 1))
    reset(peer)
    table.one(cq)
    for number in range(3):
        table.send(rq, block.put(b"x", 10), number)
    results = table.collect(cq, 3)
    assert [result.request_context for result in results] == [0, 1, 2]
    assert all(result.status for result in results)


@pytest.mark.parametrize("family", FAMILIES)
def test_rc_30_half_close(table: Table, family: int) -> None:
    """After shutdown of the sending side the peer sees the end, and receives still work."""
    ours, peer = table.tcp(family)
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice())
    ours.shutdown(socket.SHUT_WR)
    assert peer.recv(10) == b""
    peer.sendall(b"still here")
    result = table.one(cq)
    assert (result.status, block.get(result.bytes_transferred)) == (0, b"still here")


def test_rc_31_unread_data_waits(table: Table) -> None:
    """What the peer sends while no receive is posted is there when one is."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    peer.sendall(b"early")
    table.assert_nothing_comes(cq)
    block = table.block()
    table.receive(rq, block.slice())
    assert block.get(table.one(cq).bytes_transferred) == b"early"
