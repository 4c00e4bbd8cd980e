"""Many datagrams posted in one call: as if each had been posted by itself."""

from __future__ import annotations

from array import array

import pytest

from trio_rio.rio import RIO_MSG_DEFER, SOCKADDR_INET_SIZE_BYTES, SendRow, SlotRow, Status, pack_address, unpack_address

from .harness import FAMILIES, Block, Table, refused

COUNT = 100  # more than a system call carries
STRIDE = 64
ADDRESS_STRIDE = 32
FLAGS = [pytest.param(0, id="now"), pytest.param(RIO_MSG_DEFER, id="deferred")]


def slots(block: Block) -> SlotRow:
    return SlotRow(block.buffer.buffer_id, 0, STRIDE, STRIDE - 1, COUNT * STRIDE, ADDRESS_STRIDE)


def slot_block(table: Table) -> Block:
    return table.block(COUNT * (STRIDE + ADDRESS_STRIDE))


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_of_receives(table: Table, family: int, flags: int) -> None:
    """Each slot gets one datagram and its sender, in order; contexts count on from the first."""
    ours, peer = table.udp(family, connected=False)
    cq = table.cq(COUNT)
    rq = table.rq(ours, cq, COUNT, 0)
    block = slot_block(table)
    assert table.post_receives(rq, slots(block), 1000, COUNT, flags) == COUNT
    if flags:
        table.provider.commit_all()
    for number in range(COUNT):
        peer.send(b"%d" % number)
    results = table.collect(cq, COUNT)
    assert [result.request_context for result in results] == list(range(1000, 1000 + COUNT))
    for number, result in enumerate(results):
        assert block.get(result.bytes_transferred, number * STRIDE) == b"%d" % number
        packed = block.get(SOCKADDR_INET_SIZE_BYTES, COUNT * STRIDE + number * ADDRESS_STRIDE)
        assert unpack_address(packed) == peer.getsockname()


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_of_sends(table: Table, family: int, flags: int) -> None:
    """Data that follow upon each other go as datagrams of their lengths, each to its address, in order."""
    ours, first = table.udp(family, connected=False)
    _, second = table.udp(family)
    second.connect(ours.getsockname())
    cq = table.cq(COUNT)
    rq = table.rq(ours, cq, 0, COUNT)
    data = [bytes([number]) * (number % 7) for number in range(COUNT)]
    packed = [pack_address(family, peer.getsockname()) for peer in (first, second)]
    addresses = b"".join(packed[number % 2] for number in range(COUNT))
    block = table.block(8192)
    block.put(addresses + b"".join(data))
    row = SendRow(block.buffer.buffer_id, len(addresses), True, 0)
    assert table.post_sends(rq, row, array("I", map(len, data)), 5, flags) == COUNT
    if flags:
        table.provider.commit_all()
    results = table.collect(cq, COUNT)
    assert [tuple(result) for result in results] == [(0, len(data[n]), 1, 5 + n) for n in range(COUNT)]
    for number in range(COUNT):
        assert (first, second)[number % 2].recv(100) == data[number]


def test_a_row_of_sends_to_the_peer(table: Table) -> None:
    """Without addresses the datagrams of a row go to where the socket is connected."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    block.put(b"onetwo")
    assert table.post_sends(rq, SendRow(block.buffer.buffer_id, 0, False, 0), array("I", [3, 3]), 1, 0) == 2
    assert [result.status for result in table.collect(cq, 2)] == [0, 0]
    assert [peer.recv(10), peer.recv(10)] == [b"one", b"two"]


def test_a_row_ends_where_the_queue_is_full(table: Table) -> None:
    """As many are posted as there are credits; without any the call fails as the first post would."""
    ours, _ = table.udp(connected=False)
    cq = table.cq(COUNT)
    rq = table.rq(ours, cq, 3, 1)
    block = slot_block(table)
    assert table.post_receives(rq, slots(block), 0, 5, 0) == 3
    with refused(Status.ENOBUFS):
        table.post_receives(rq, slots(block), 0, 1, 0)


def test_a_row_ends_at_a_bad_slot(table: Table) -> None:
    """Those before a slot that is outside its registration are posted; if it is the first, the call fails."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block(100)
    row = SendRow(block.buffer.buffer_id, 0, False, 0)
    assert table.post_sends(rq, row, array("I", [50, 51]), 1, 0) == 1
    assert table.one(cq) == (0, 50, 1, 1)
    assert len(peer.recv(200)) == 50
    with refused(Status.EINVAL, Status.EFAULT):
        table.post_sends(rq, row, array("I", [101, 1]), 1, 0)


@pytest.mark.parametrize("is_address", [False, True], ids=["data", "addresses"])
def test_a_row_ends_where_offsets_have_more_than_32_bits(table: Table, is_address: bool) -> None:
    """The second slot of a row is beyond its registration; once cut to 32 bits, its offset would not be."""
    ours, _ = table.udp()
    rq = table.rq(ours, table.cq())
    stride = (1 << 32) - 4096
    data, addresses = ((4096, stride), (0, 32)) if not is_address else ((0, 64), (4096, stride))
    row = SlotRow(table.block(8192).buffer.buffer_id, *data, 64, *addresses)
    assert table.post_receives(rq, row, 0, 2, 0) == 1
