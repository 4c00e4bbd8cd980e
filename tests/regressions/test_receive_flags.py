"""Receives with flags, while receives are posted ahead: what went wrong once."""

from __future__ import annotations

import socket
import struct

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, open_pair, udp_socket
from ..platforms import IS_WINDOWS

# <linux/net_tstamp.h>; the socket module has no names for them.
SO_TIMESTAMPING = 37
TIMESTAMP_OF_SEND = struct.pack("=I", 1 << 1 | 1 << 4)

pytestmark = BOTH_MODES

needs_error_queue = pytest.mark.skipif(
    IS_WINDOWS or not hasattr(socket, "MSG_ERRQUEUE"), reason="this system has no error queue"
)


async def socket_with_receive_posted() -> trio.socket.SocketType:
    """A UDP socket whose sends are notified; where nothing is cancelled, a receive is posted."""
    sock = await udp_socket()
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, TIMESTAMP_OF_SEND)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sock.recv, 1)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return sock


@needs_error_queue
async def test_a_notification_that_is_there_is_received() -> None:
    """A receive from the error queue returns at once what is in it, whatever is posted."""
    with await socket_with_receive_posted() as sock, trio.fail_after(PATIENCE_SECONDS):
        await sock.sendto(b"x", ("127.0.0.1", 9))
        _, ancillary, flags, _ = await sock.recvmsg(100, 500, socket.MSG_ERRQUEUE)
        assert ancillary
        assert flags & socket.MSG_ERRQUEUE


@needs_error_queue
async def test_a_notification_that_comes_later_is_waited_for() -> None:
    """A receive from the error queue waits for what comes there, whatever is posted."""
    lengths: list[int] = []

    async def receive(sock: trio.socket.SocketType) -> None:
        buffers = [bytearray(100)]
        _, ancillary, _, _ = await sock.recvmsg_into(buffers, 500, socket.MSG_ERRQUEUE)
        lengths.append(len(ancillary))

    with await socket_with_receive_posted() as sock, trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, sock)
            await wait_all_tasks_blocked()
            assert not lengths
            await sock.sendto(b"x", ("127.0.0.1", 9))
    assert lengths[0] > 0


@pytest.mark.parametrize("name", ["MSG_DONTWAIT", "MSG_WAITALL", "MSG_NOSIGNAL"])
async def test_flags_without_effect_are_taken(name: str) -> None:
    """A receive with a flag that makes no difference on a socket that does not block is as one without."""
    if not hasattr(socket, "MSG_DONTWAIT") or not hasattr(socket, name):
        pytest.skip("this system does not know the flag, or blocks by it")
    async with open_pair() as (sock, peer):
        with trio.move_on_after(0.001):
            await sock.recv(1)  # is posted from now on, where nothing is cancelled
        await peer.send(b"abc")
        assert await sock.recv(10, getattr(socket, name)) == b"abc"
