"""Datagrams: RC-38 to RC-44."""

from __future__ import annotations

import contextlib
import socket

import pytest

from trio_rio.rio import (
    RIO_MSG_WAITALL,
    SOCKADDR_INET_SIZE_BYTES,
    BufferSlice,
    RioCallError,
    Status,
    pack_address,
    unpack_address,
)

from .harness import FAMILIES, LOOPBACK, PATIENCE_SECONDS, Table, refused

SIZES = [0, 1, 512, 1472, 65507]


@pytest.mark.parametrize("family", FAMILIES)
def test_rc_38a_a_receive_takes_one_datagram(table: Table, family: int) -> None:
    """Each receive completes with one whole datagram, whatever its size, in the order of arrival."""
    ours, peer = table.udp(family)
    cq = table.cq()
    rq = table.rq(ours, cq, len(SIZES), 0)
    block = table.block(len(SIZES) * 65536)
    for number in range(len(SIZES)):
        table.receive(rq, block.slice(number * 65536, 65536), number)
    for number, size in enumerate(SIZES):
        peer.send(bytes([number]) * size)
    results = table.collect(cq, len(SIZES))
    assert [tuple(result) for result in results] == [(0, size, 1, number) for number, size in enumerate(SIZES)]
    for number, size in enumerate(SIZES):
        assert block.get(size, number * 65536) == bytes([number]) * size


@pytest.mark.parametrize("family", FAMILIES)
def test_rc_38b_a_send_is_one_datagram(table: Table, family: int) -> None:
    """Each send arrives as one datagram of its size, in order."""
    ours, peer = table.udp(family)
    cq = table.cq()
    rq = table.rq(ours, cq, 0, len(SIZES))
    block = table.block(65536)
    for number, size in enumerate(SIZES):
        table.send(rq, block.slice(0, size), number)
    results = table.collect(cq, len(SIZES))
    assert [tuple(result) for result in results] == [(0, size, 1, number) for number, size in enumerate(SIZES)]
    assert [len(peer.recv(65536)) for _ in SIZES] == SIZES


def test_rc_39_a_datagram_that_is_too_long(table: Table) -> None:
    """It completes with "message too long", stays in its slice, and the next receive gets the next datagram."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block(300)
    block.put(b"\xaa" * 300)
    table.receive(rq, block.slice(100, 50), 1)
    table.receive(rq, block.slice(200, 50), 2)
    peer.send(b"x" * 120)
    peer.send(b"next")
    cut, whole = table.collect(cq, 2)
    assert (cut.status, cut.request_context) == (Status.EMSGSIZE, 1)
    assert cut.bytes_transferred <= 50
    assert whole == (0, 4, 1, 2)
    assert block.get(100) == b"\xaa" * 100
    assert block.get(50, 150) == b"\xaa" * 50
    assert block.get(100, 200) == b"next" + b"\xaa" * 96


def test_rc_39a_a_datagram_that_cannot_be_sent(table: Table) -> None:
    """A send that is too long for the protocol completes with "message too long", and sends nothing."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block(70_000)
    table.send(rq, block.slice(), 1)
    table.send(rq, table.block().put(b"fits"), 2)
    too_long, fits = table.collect(cq, 2)
    assert (too_long.status, too_long.request_context) == (Status.EMSGSIZE, 1)
    assert fits == (0, 4, 1, 2)
    assert peer.recv(100) == b"fits"


@pytest.mark.parametrize("family", FAMILIES)
def test_rc_40a_an_empty_datagram_is_data(table: Table, family: int) -> None:
    """It completes with status 0 and no bytes, and those after it still arrive."""
    ours, peer = table.udp(family)
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    for number in range(3):
        table.receive(rq, block.slice(number * 10, 10), number)
    for data in (b"", b"more", b""):
        peer.send(data)
    assert [tuple(result) for result in table.collect(cq, 3)] == [(0, 0, 1, 0), (0, 4, 1, 1), (0, 0, 1, 2)]


@pytest.mark.parametrize("family", FAMILIES)
def test_rc_40b_no_data_sends_an_empty_datagram(table: Table, family: int) -> None:
    """A send without data is an empty datagram."""
    ours, peer = table.udp(family)
    cq = table.cq()
    table.send(table.rq(ours, cq), None, 4)
    assert table.one(cq) == (0, 0, 1, 4)
    assert peer.recv(100) == b""


def test_rc_40c_a_receive_without_data_takes_an_empty_datagram(table: Table) -> None:
    """A receive without data completes with the datagram that has none; a longer one is too long for it."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    table.receive(rq, None, 1)
    table.receive(rq, None, 2)
    peer.send(b"")
    peer.send(b"long")
    assert [tuple(result) for result in table.collect(cq, 2)] == [(0, 0, 1, 1), (Status.EMSGSIZE, 0, 1, 2)]


def test_rc_40d_streams_have_no_empty_requests(table: Table) -> None:
    """A request without data, or with a slice of no bytes, is refused on a stream: it could not be told from EOF."""
    ours, _ = table.tcp()
    rq = table.rq(ours, table.cq())
    empty = table.block().slice(0, 0)
    for post in (table.receive, table.send):
        for data in (None, empty):
            with refused(Status.EINVAL):
                post(rq, data)


@pytest.mark.parametrize("family", FAMILIES)
def test_rc_41a_the_sender_is_told(table: Table, family: int) -> None:
    """The remote address slice of a receive gets the address of the sender, of each datagram its own."""
    ours, peer = table.udp(family, connected=False)
    _, stranger = table.udp(family)
    stranger.connect(ours.getsockname())
    cq = table.cq()
    rq = table.rq(ours, cq)
    block, addresses = table.block(), table.block(200)
    senders = [peer, stranger, peer]
    for number, sender in enumerate(senders):
        where = addresses.slice(number * 50, SOCKADDR_INET_SIZE_BYTES)
        table.provider.receive_ex(rq, block.slice(number, 1), 1, None, where, None, None, 0, number)
        sender.send(b"x")
    assert [result.status for result in table.collect(cq, 3)] == [0, 0, 0]
    for number, sender in enumerate(senders):
        packed = addresses.get(SOCKADDR_INET_SIZE_BYTES, number * 50)
        assert unpack_address(packed) == sender.getsockname()
        gap = addresses.get(50 - SOCKADDR_INET_SIZE_BYTES, number * 50 + SOCKADDR_INET_SIZE_BYTES)
        assert gap == bytes(50 - SOCKADDR_INET_SIZE_BYTES)


def test_rc_41b_an_address_slice_must_have_room(table: Table) -> None:
    """An address slice that is shorter than a SOCKADDR_INET, or not registered, is refused."""
    ours, _ = table.udp(connected=False)
    rq = table.rq(ours, table.cq(), 1, 1)
    block = table.block(100)
    for call in (table.provider.receive_ex, table.provider.send_ex):
        for where in (block.slice(0, 27), block.slice(73, 28), block.slice(100, 28)):
            with refused(Status.EINVAL, Status.EFAULT):
                call(rq, block.slice(0, 1), 1, None, where, None, None, 0, 0)
    gone = table.block(100)
    table.provider.deregister_buffer(gone.buffer)
    with refused(Status.EINVAL, Status.EFAULT):
        table.provider.receive_ex(rq, block.slice(0, 1), 1, None, gone.slice(0, 28), None, None, 0, 0)
    table.receive(rq, block.slice())


def test_rc_41c_the_address_memory_is_held_too(table: Table) -> None:
    """Deregistered while in use, the memory of the address is let go when the result is dequeued."""
    ours, peer = table.udp(connected=False)
    cq = table.cq()
    rq = table.rq(ours, cq)
    block, addresses = table.block(), table.block(28)
    table.provider.receive_ex(rq, block.slice(), 1, None, addresses.slice(), None, None, 0, 0)
    table.provider.deregister_buffer(addresses.buffer)
    assert addresses.is_held
    peer.send(b"x")
    assert table.one(cq).status == 0
    assert unpack_address(bytes(addresses.memory)) == peer.getsockname()
    assert not addresses.is_held


@pytest.mark.parametrize("buffer_id", [0, 12345678, 0xFFFFFFFF])
def test_rc_41d_an_address_slice_must_be_registered(table: Table, buffer_id: int) -> None:
    """An address slice of an id that was never given out, 0 among them, is refused and takes no credit."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq, 1, 1)
    block = table.block()
    address = BufferSlice(buffer_id, 0, SOCKADDR_INET_SIZE_BYTES)
    for post in (table.provider.receive_ex, table.provider.send_ex):
        with refused(Status.EINVAL, Status.EFAULT):
            post(rq, block.slice(0, 100), 1, None, address, None, None, 0, 0)
    table.receive(rq, block.slice(0, 100))
    peer.send(b"x")
    assert table.one(cq).bytes_transferred == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_rc_42a_a_send_reaches_its_address(table: Table, family: int) -> None:
    """On a socket that is not connected each send goes to the address that it names."""
    ours, first = table.udp(family, connected=False)
    _, second = table.udp(family)
    second.connect(ours.getsockname())
    cq = table.cq()
    rq = table.rq(ours, cq)
    block, addresses = table.block(), table.block()
    for number, target in enumerate((first, second, first)):
        where = addresses.put(pack_address(family, target.getsockname()), number * 28)
        data = block.put(b"%d" % number, number)
        table.provider.send_ex(rq, data, 1, None, where, None, None, 0, number)
    assert [tuple(result) for result in table.collect(cq, 3)] == [(0, 1, 1, number) for number in range(3)]
    assert [first.recv(9), first.recv(9), second.recv(9)] == [b"0", b"2", b"1"]


def test_rc_42b_a_connected_socket_needs_no_address(table: Table) -> None:
    """On a connected socket a send without address reaches the peer."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    data = table.block().put(b"to the peer")
    table.provider.send_ex(rq, data, 1, None, None, None, None, 0, 0)
    assert table.one(cq).status == 0
    assert peer.recv(100) == b"to the peer"


def test_rc_42c_no_address_and_no_peer(table: Table) -> None:
    """Without an address on a socket that is not connected, a send ends with an error."""
    ours, _ = table.udp(connected=False)
    cq = table.cq()
    table.send(table.rq(ours, cq), table.block().put(b"whereto"))
    # Linux, Windows, Wine.
    assert table.one(cq).status in (Status.EDESTADDRREQ, Status.ENOTCONN, Status.EINVAL)


def test_rc_42d_no_local_address_for_sends(table: Table) -> None:
    """A local address in a send is refused with WSAEINVAL."""
    ours, _ = table.udp()
    rq = table.rq(ours, table.cq())
    block = table.block()
    with refused(Status.EINVAL):
        table.provider.send_ex(rq, block.slice(0, 1), 1, block.slice(10, 28), None, None, None, 0, 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_rc_42f_a_send_binds_its_socket(table: Table, family: int) -> None:
    """A socket that is not bound yet is bound by its first send, as by sendto, and gets the answers."""
    _, peer = table.udp(family, connected=False)
    ours = table.provider.make_socket(family, socket.SOCK_DGRAM)
    table.sockets.append(ours)
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    where = block.put(pack_address(family, peer.getsockname()), 100)
    table.provider.send_ex(rq, block.put(b"first"), 1, None, where, None, None, 0, 1)
    assert table.one(cq) == (0, 5, 1, 1)
    port = ours.getsockname()[1]
    assert port
    peer.connect((LOOPBACK[socket.AddressFamily(family)], port))
    table.receive(rq, block.slice(200, 100), 2)
    peer.send(b"answer")
    assert table.one(cq) == (0, 6, 1, 2)


def test_rc_42e_an_address_of_another_family(table: Table) -> None:
    """A send to an address that is none, or not the socket's family, fails, and the next one goes out."""
    ours, peer = table.udp(socket.AF_INET, connected=False)
    cq = table.cq()
    rq = table.rq(ours, cq)
    block, addresses = table.block(), table.block()
    wrong = [pack_address(socket.AF_INET6, ("::1", 9, 0, 0)), b"\xee" * 28]
    for number, packed in enumerate(wrong):
        where = addresses.put(packed, number * 28)
        with contextlib.suppress(RioCallError):
            table.provider.send_ex(rq, block.slice(0, 1), 1, None, where, None, None, 0, number)
            assert table.one(cq).status != 0
    where = addresses.put(pack_address(socket.AF_INET, peer.getsockname()), 100)
    table.provider.send_ex(rq, block.put(b"right"), 1, None, where, None, None, 0, 9)
    assert table.one(cq) == (0, 5, 1, 9)
    assert peer.recv(100) == b"right"


def test_rc_43_waitall_is_not_for_datagrams(table: Table) -> None:
    """WAITALL on a datagram socket is refused, or means nothing: one datagram completes the receive."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    peer.send(b"short")
    code = rq.post_receive(block.buffer.buffer_id, 0, 100, RIO_MSG_WAITALL, 1)
    if code:
        assert code in (Status.EINVAL, Status.EOPNOTSUPP)
        table.receive(rq, block.slice(), 1)
    assert table.one(cq) == (0, 5, 1, 1)


def test_rc_44_datagrams_without_a_receive(table: Table) -> None:
    """A datagram that finds no receive posted may be lost or kept; one sent later arrives, after it."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    peer.send(b"early")
    table.assert_nothing_comes(cq)
    table.receive(rq, block.slice())
    peer.send(b"late")
    first = block.get(table.one(cq).bytes_transferred)
    if first == b"early":
        table.receive(rq, block.slice())
        first = block.get(table.one(cq).bytes_transferred)
    assert first == b"late"


def test_rc_44a_an_unreachable_peer_does_not_stop_the_socket(table: Table) -> None:
    """Whether or not "port unreachable" is reported, a receive posted afterwards gets a datagram."""
    ours, peer = table.udp()
    cq = table.cq()
    rq = table.rq(ours, cq)
    block = table.block()
    address = peer.getsockname()
    peer.close()
    table.send(rq, block.put(b"into the void"))
    table.one(cq)
    back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    table.sockets.append(back)
    back.bind(address)
    back.settimeout(PATIENCE_SECONDS)
    data = b""
    while data != b"here I am":
        table.receive(rq, block.slice())
        back.sendto(b"here I am", ours.getsockname())
        result = table.one(cq)
        assert result.status in (0, Status.ECONNREFUSED, Status.ECONNRESET)
        data = block.get(result.bytes_transferred)
