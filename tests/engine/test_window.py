"""The mode that Windows needs, on every provider: sends in flight that nobody waits for, receives posted for nobody."""

from __future__ import annotations

import errno
import socket
import sys

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio.testing import current_ledger

from ..platforms import RESET_AT_CLOSE, needs_full_buffers
from .harness import (
    PATIENCE_SECONDS,
    fill,
    fill_now,
    numbered,
    open_pair,
    receive_all,
    receive_exactly,
    send_all,
    settled,
    stdlib_pair,
    udp_socket,
)

pytestmark = pytest.mark.rio_config(cancellation="detach")


async def test_what_was_sent_before_close_arrives() -> None:
    """send_all(x) and close at once: the peer gets x, and then the end."""
    async with open_pair() as (client, server):
        await send_all(client, numbered(1, 0, 500_000))
        client.close()
        assert await receive_all(server) == numbered(1, 0, 500_000)


async def test_shutdown_waits_for_what_is_in_flight() -> None:
    """shutdown(SHUT_WR) with sends in flight: the peer gets them all before the end of the stream."""
    async with open_pair() as (client, server):
        await send_all(client, numbered(1, 0, 300_000))
        client.shutdown(socket.SHUT_WR)
        assert client.did_shutdown_SHUT_WR
        assert await receive_all(server) == numbered(1, 0, 300_000)
        await server.send(b"the other way")
        assert await client.recv(100) == b"the other way"


@needs_full_buffers
@pytest.mark.rio_config(cancellation="detach", linger_seconds=0.2)
async def test_lingering_is_bounded() -> None:
    """A closed socket whose peer does not read is closed for good when its time is over."""
    ours, theirs = stdlib_pair()
    count = fill(ours)
    with theirs:
        client = trio.socket.from_stdlib_socket(ours)
        sent = 0
        while True:
            with trio.move_on_after(0.1) as scope:
                sent += await client.send(bytes(100_000))
            if scope.cancelled_caught:
                break
        client.close()
        assert trio_rio.current_statistics().sockets_lingering == 1
        with trio.fail_after(PATIENCE_SECONDS):
            while trio_rio.current_statistics().sockets_lingering:  # noqa: ASYNC110, there is no event
                await trio.sleep(0.01)
        assert (await settled()).credits_charged == 0
        assert trio_rio.current_statistics().drained_late > 0
        theirs.settimeout(PATIENCE_SECONDS)
        received = 0
        while data := theirs.recv(1 << 20):
            received += len(data)
        assert count <= received < count + sent


async def test_send_waits_when_the_window_is_full() -> None:
    """A peer that does not read makes send wait: no more than the kernel's buffers and the window are taken."""
    async with open_pair() as (client, _):
        sent = 0
        with trio.move_on_after(0.5) as scope:
            while True:
                sent += await client.send(bytes(65536))
        assert scope.cancelled_caught
        assert trio_rio.current_statistics().sends_in_flight > 0
        books = current_ledger()
        assert books.registered_bytes < 8 << 20
        in_flight = trio_rio.current_statistics().sends_in_flight * 65536
        assert in_flight <= (1 << 20) + 65536


@needs_full_buffers
@pytest.mark.parametrize(
    ("count", "in_flight"),
    [(100, 100), pytest.param(20, 16, marks=pytest.mark.rio_config(sends_outstanding_max=16))],
)
async def test_small_sends_fill_a_window_too(count: int, in_flight: int) -> None:
    """To a peer that does not read as many small sends go out as the window has room for, or as the limit says."""
    ours, theirs = stdlib_pair()
    fill_now(ours, theirs)
    with theirs, trio.socket.from_stdlib_socket(ours) as client:
        with trio.move_on_after(0.2) as scope:
            for _ in range(count):
                await client.send(b"x" * 100)
        assert trio_rio.current_statistics().sends_in_flight == in_flight
        assert scope.cancelled_caught == (in_flight < count)
        theirs.close()
        with trio.fail_after(PATIENCE_SECONDS):
            while trio_rio.current_statistics().sends_in_flight:  # noqa: ASYNC110, there is no event
                await trio.sleep(0.01)
        client.close()
        assert (await settled()).credits_charged == 0


async def test_an_error_reaches_the_next_send() -> None:
    """A send in flight that fails is told to the next send."""
    ours, theirs = stdlib_pair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    with trio.socket.from_stdlib_socket(ours) as client:
        theirs.close()
        with pytest.raises(OSError) as caught:
            while True:
                await client.send(b"x")
                await wait_all_tasks_blocked()
        assert caught.value.errno in (errno.ECONNRESET, errno.EPIPE)


async def test_bytes_that_came_for_a_cancelled_receive_can_be_peeked() -> None:
    """What came ahead can be looked at with MSG_PEEK, is readable, and is read by the next receive."""
    async with open_pair() as (client, server):
        with trio.move_on_after(0.01):
            await client.recv(10)
        await server.send(b"ahead")
        await trio.lowlevel.wait_readable(client)
        assert client.is_readable()
        assert await client.recv(2, socket.MSG_PEEK) == b"ah"
        assert await client.recv(2) == b"ah"
        assert await client.recv(100, socket.MSG_PEEK) == b"ead"
        assert await client.recv(100) == b"ead"
        assert not client.is_readable()


async def test_the_end_of_the_stream_stays() -> None:
    """A stream that ended says so again and again, and is readable."""
    async with open_pair() as (client, server):
        with trio.move_on_after(0.01):
            await client.recv(10)
        server.close()
        for _ in range(3):
            assert await client.recv(10) == b""
            assert client.is_readable()
            await trio.lowlevel.wait_readable(client)


async def test_detach_of_a_socket_with_unread_bytes_is_refused() -> None:
    """detach() would lose what came ahead: it raises and changes nothing."""
    async with open_pair() as (client, server):
        with trio.move_on_after(0.01):
            await client.recv(10)
        await server.send(b"ahead")
        await trio.lowlevel.wait_readable(client)
        with pytest.raises(OSError, match="lose"):
            client.detach()
        assert await client.recv(100) == b"ahead"


async def test_datagrams_that_came_ahead_keep_their_borders() -> None:
    """Datagrams that came for nobody are read one by one, with their addresses, cut off where they must be."""
    with await udp_socket() as receiver, await udp_socket() as sender:
        with trio.move_on_after(0.01):
            await receiver.recv(10)
        for data in (b"one", b"", b"three"):
            await sender.sendto(data, receiver.getsockname())
        assert await receiver.recvfrom(100) == (b"one", sender.getsockname())
        assert await receiver.recvfrom(100) == (b"", sender.getsockname())
        if sys.platform == "win32":  # where a datagram that is cut off is an error
            with pytest.raises(OSError) as caught:
                await receiver.recvfrom(2)
            assert caught.value.errno == errno.EMSGSIZE
        else:
            assert await receiver.recvfrom(2) == (b"th", sender.getsockname())
        await sender.sendto(b"four", receiver.getsockname())
        assert await receiver.recv(100) == b"four"


async def test_the_other_flags_are_refused_while_receives_are_posted() -> None:
    """A flag that RIO has not raises OSError while bytes may come ahead; nothing is lost."""
    async with open_pair() as (client, server):
        with trio.move_on_after(0.01):
            await client.recv(10)
        with pytest.raises(OSError, match="read_ahead"):
            await client.recv(10, socket.MSG_TRUNC)
        await server.send(b"x")
        assert await client.recv(10) == b"x"


@pytest.mark.rio_config(cancellation="detach", read_ahead=4, small_slice_size_bytes=512, large_slice_size_bytes=4096)
async def test_reading_ahead_with_several_receives() -> None:
    """With several receives posted bytes come in order, and a reader that stops stops its peer."""
    async with open_pair() as (client, server):
        sent = 0
        with trio.move_on_after(0.01):
            await client.recv(1)
        with trio.move_on_after(0.3):
            while True:
                sent += await server.send(numbered(1, sent, sent + 10_000))
        assert trio_rio.current_statistics().leases_outstanding < 1 << 10
        server.shutdown(socket.SHUT_WR)
        assert await receive_exactly(client, sent) == numbered(1, 0, sent)
        assert await client.recv(1) == b""
