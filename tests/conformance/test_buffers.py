"""Registered buffers and slices: RC-04 to RC-10."""

from __future__ import annotations

import pytest

from trio_rio._cli.selftest.bench import read_exactly
from trio_rio.rio import BufferSlice, Provider, Status

from .harness import Table, refused


def test_rc_04_registering_nothing_fails(provider: Provider) -> None:
    """Zero bytes cannot be registered: WSAEINVAL."""
    with refused(Status.EINVAL):
        provider.register_buffer(bytearray())


def test_rc_05_one_memory_two_ids(table: Table) -> None:
    """The same memory registered twice has two ids; without one of them the other serves on."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    second = table.provider.register_buffer(block.memory)
    assert second.buffer_id != block.buffer.buffer_id
    block.put(b"through either id")
    table.send(rq, second.slice(0, 17))
    table.provider.deregister_buffer(second)
    table.send(rq, block.slice(0, 17))
    assert [result.status for result in table.collect(cq, 2)] == [0, 0]
    assert read_exactly(peer, 34) == b"through either id" * 2


def test_rc_06a_a_slice_may_end_with_its_registration(table: Table) -> None:
    """A slice that ends exactly where the registration ends is accepted."""
    ours, peer = table.tcp()
    cq = table.cq()
    block = table.block(100)
    table.receive(table.rq(ours, cq), block.slice(60, 40))
    peer.send(b"x" * 40)
    assert table.one(cq).bytes_transferred == 40


@pytest.mark.parametrize(
    ("offset", "length"),
    [(61, 40), (0, 101), (100, 1), (101, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 1), (1, 0xFFFFFFFF)],
)
def test_rc_06b_a_slice_beyond_its_registration_is_refused(table: Table, offset: int, length: int) -> None:
    """A slice that goes further, or whose end overflows 32 bits, is refused and takes no credit."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 1, 1)
    block = table.block(100)
    beyond = BufferSlice(block.buffer.buffer_id, offset, length)
    for post in (table.receive, table.send):
        with refused(Status.EINVAL, Status.EFAULT):
            post(rq, beyond)
    table.receive(rq, block.slice(0, 50))
    table.send(rq, block.put(b"y", 50))
    peer.send(b"x")
    assert [result.status for result in table.collect(cq, 2)] == [0, 0]


def test_rc_07_a_deregistered_id_is_refused(table: Table) -> None:
    """A request that names an id which is gone, or never was, is refused and takes no credit."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq, 1, 1)
    gone, block = table.block(), table.block()
    table.provider.deregister_buffer(gone.buffer)
    for dead in (gone.slice(), BufferSlice(12345678, 0, 1), BufferSlice(0xFFFFFFFF, 0, 1)):
        for post in (table.receive, table.send):
            with refused(Status.EINVAL, Status.EFAULT):
                post(rq, dead)
    table.receive(rq, block.slice())
    peer.send(b"x")
    assert table.one(cq).status == 0


def test_rc_07a_an_id_is_not_used_again(table: Table) -> None:
    """The id of a registration that is gone does not come back with the next ones."""
    seen = set()
    for _ in range(200):
        block = table.block(16)
        assert block.buffer.buffer_id not in seen
        assert block.buffer.buffer_id not in (0, 0xFFFFFFFF)
        seen.add(block.buffer.buffer_id)
        table.provider.deregister_buffer(block.buffer)


def test_rc_08a_deregistering_twice_is_nothing(table: Table) -> None:
    """Deregistering an id that is gone already raises nothing, and harms no other."""
    gone, block = table.block(), table.block()
    for _ in range(3):
        table.provider.deregister_buffer(gone.buffer)
    ours, peer = table.tcp()
    cq = table.cq()
    table.send(table.rq(ours, cq), block.put(b"ok"))
    assert table.one(cq).status == 0
    assert peer.recv(10) == b"ok"


def test_rc_08b_deregistering_waits_for_requests(table: Table) -> None:
    """A posted receive keeps its memory after the id is deregistered, until its result is dequeued."""
    ours, peer = table.tcp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    table.receive(rq, block.slice())
    table.provider.deregister_buffer(block.buffer)
    with refused(Status.EINVAL, Status.EFAULT):
        table.receive(rq, block.slice())
    peer.send(b"landed")
    assert cq.arm() == 0
    assert table.signals[cq].take() == 1
    assert block.is_held
    assert table.one(cq).bytes_transferred == 6
    assert block.get(6) == b"landed"
    assert not block.is_held


GUARD = b"\xaa"


def test_rc_09a_a_receive_stays_in_its_slice(table: Table) -> None:
    """However much comes, the bytes on both sides of the slice are as before."""
    ours, peer = table.tcp()
    cq = table.cq()
    block = table.block(300)
    block.put(GUARD * 300)
    table.receive(table.rq(ours, cq), block.slice(100, 100))
    peer.sendall(b"x" * 300)
    count = table.one(cq).bytes_transferred
    assert block.get(300) == GUARD * 100 + b"x" * count + GUARD * (200 - count)


def test_rc_09b_an_aborted_receive_writes_nothing(table: Table) -> None:
    """After the abort of a receive its memory stays as it was, whatever the peer sends."""
    ours, peer = table.tcp()
    keep = ours.dup()
    table.sockets.append(keep)
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block(300)
    block.put(GUARD * 300)
    table.receive(rq, block.slice(100, 100))
    table.provider.close_socket(rq)
    assert table.one(cq).status != 0
    peer.sendall(b"x" * 300)
    table.assert_nothing_comes(cq)
    assert block.get(300) == GUARD * 300


def test_rc_09c_nothing_is_written_after_the_dequeue(table: Table) -> None:
    """Once its result is dequeued, the slice belongs to the program: what comes later does not touch it."""
    ours, peer = table.tcp()
    cq = table.cq()
    block = table.block(300)
    table.receive(table.rq(ours, cq), block.slice(100, 100))
    peer.sendall(b"x")
    assert table.one(cq).bytes_transferred == 1
    block.put(GUARD * 300)
    peer.sendall(b"y" * 300)
    table.assert_nothing_comes(cq)
    assert block.get(300) == GUARD * 300


def test_rc_10_one_data_buffer_at_most(table: Table) -> None:
    """A data count of 2 is refused with WSAEINVAL: RIO neither scatters nor gathers."""
    ours, _ = table.tcp()
    rq = table.rq(ours, table.cq())
    block = table.block()
    for call in (table.provider.receive, table.provider.send):
        with refused(Status.EINVAL):
            call(rq, block.slice(), 2, 0, 0)


def test_rc_10a_two_data_buffers_are_refused_for_the_queue(table: Table) -> None:
    """A request queue for more than one data buffer in a request cannot be made."""
    ours, _ = table.tcp()
    cq = table.cq()
    for receive_buffers, send_buffers in ((2, 1), (1, 2), (0, 1)):
        with refused(Status.EINVAL):
            table.provider.create_request_queue(ours, 1, receive_buffers, 1, send_buffers, cq, cq, 0)
    assert cq.charged == 0
