"""Calls that RIO serves and calls that it does not, mixed on one socket: order is kept."""

from __future__ import annotations

import socket

import pytest
import trio

from ..platforms import needs_recvmsg


async def connected() -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    """Two ends of a TCP connection on loopback."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        one = trio.socket.socket()
        await one.connect(listener.getsockname())
        other, _ = await listener.accept()
        return one, other


async def receive_exactly(sock: trio.socket.SocketType, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await sock.recv(size - len(data))
        assert part
        data += part
    return data


@needs_recvmsg
@pytest.mark.rio_config(cancellation="detach")
async def test_sendmsg_does_not_overtake_sends_in_flight() -> None:
    """What sendmsg sends comes after what send has taken, though that may still be in flight."""
    one, other = await connected()
    with one, other:
        for number in range(50):
            await one.send(b"a%02d" % number)
            await one.sendmsg([b"b", b"%02d" % number])
        expected = b"".join(b"a%02db%02d" % (number, number) for number in range(50))
        assert await receive_exactly(other, len(expected)) == expected


@needs_recvmsg
@pytest.mark.rio_config(cancellation="detach")
async def test_recvmsg_does_not_overtake_what_was_received_ahead() -> None:
    """Bytes that a cancelled receive left behind come first, whichever call reads next."""
    one, other = await connected()
    with one, other:
        with trio.move_on_after(0.01):
            await other.recv(100)
        await one.send(b"0123456789abcdef")
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert await other.recvmsg(3) == (b"012", [], 0, None)
        assert await other.recv(3, socket.MSG_PEEK) == b"345"
        first, second = bytearray(2), bytearray(3)
        count, ancillary, flags, _ = await other.recvmsg_into([first, second])
        assert (count, ancillary, flags) == (5, [], 0)
        assert first + second == b"34567"
        assert await receive_exactly(other, 8) == b"89abcdef"


@needs_recvmsg
@pytest.mark.rio_config(cancellation="detach")
async def test_a_truncated_datagram_is_flagged_when_received_ahead() -> None:
    """recvmsg says MSG_TRUNC for a datagram that was longer than asked for, as a plain socket does."""
    with trio.socket.socket(type=socket.SOCK_DGRAM) as one, trio.socket.socket(type=socket.SOCK_DGRAM) as other:
        await one.bind(("127.0.0.1", 0))
        await other.bind(("127.0.0.1", 0))
        with trio.move_on_after(0.01):
            await other.recvfrom(100)
        await one.sendto(b"0123456789", other.getsockname())
        assert await other.recvmsg(4) == (b"0123", [], socket.MSG_TRUNC, one.getsockname())
