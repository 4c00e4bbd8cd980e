"""A receive that need not wait is in nobody's way; one that is cancelled before it begins has nobody in its way."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from ..engine.harness import BOTH_MODES, stdlib_pair

pytestmark = BOTH_MODES

Receive = Callable[[trio.socket.SocketType], Awaitable[object]]


async def receive_into(sock: trio.socket.SocketType) -> object:
    return await sock.recv_into(bytearray(1))


RECEIVES: dict[str, Receive] = {
    "recv": lambda sock: sock.recv(1),
    "recv_into": receive_into,
    "recvfrom": lambda sock: sock.recvfrom(1),
    "receive_some": lambda sock: trio_rio.RioStream(sock).receive_some(1),
}


@pytest.fixture(params=[*RECEIVES])
def receive(request: pytest.FixtureRequest) -> Receive:
    """A call that receives one byte."""
    return RECEIVES[request.param]


async def test_two_tasks_receive_what_is_there_for_both(receive: Receive) -> None:
    """Two receives in one tick, and bytes for both: neither has to wait, and neither is busy."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        theirs.sendall(b"ab")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, sock)
            nursery.start_soon(receive, sock)


async def test_the_end_is_told_to_two_tasks(receive: Receive) -> None:
    """Two receives in one tick at the end of a stream both have the end."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        theirs.shutdown(socket.SHUT_WR)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, sock)
            nursery.start_soon(receive, sock)


async def test_two_datagrams_for_two_tasks() -> None:
    """Two receives in one tick, and a datagram for each."""
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock, socket.socket(type=socket.SOCK_DGRAM) as peer:
        await sock.bind(("127.0.0.1", 0))
        received: list[bytes] = []

        async def receive_one() -> None:
            received.append(await sock.recv(10))

        peer.sendto(b"one", sock.getsockname())
        peer.sendto(b"two", sock.getsockname())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_one)
            nursery.start_soon(receive_one)
        assert sorted(received) == [b"one", b"two"]


async def test_the_second_of_two_that_wait_is_busy(receive: Receive) -> None:
    """Two receives in one tick, and a byte for one of them: the other waits, and a third is busy."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        theirs.sendall(b"a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, sock)
            nursery.start_soon(receive, sock)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await receive(sock)
            nursery.cancel_scope.cancel()


async def test_cancelled_comes_before_busy(receive: Receive) -> None:
    """A call in a scope that is cancelled already is Cancelled, whoever waits on the socket."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, sock)
            await wait_all_tasks_blocked()
            with trio.CancelScope() as scope:
                scope.cancel()
                await receive(sock)
            assert scope.cancelled_caught
            nursery.cancel_scope.cancel()


async def test_a_wait_is_busy_before_it_is_cancelled() -> None:
    """As on stock: ``wait_readable`` looks for others first, in whatever scope."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sock.recv, 1)
            await wait_all_tasks_blocked()
            with trio.CancelScope() as scope:
                scope.cancel()
                with pytest.raises(trio.BusyResourceError):
                    await trio.lowlevel.wait_readable(sock)
            nursery.cancel_scope.cancel()


async def test_a_receive_that_need_not_wait_minds_no_wait_for_readability(receive: Receive) -> None:
    """While a task waits for readability another receives what has just come; with nothing there it is busy."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.wait_readable, sock)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await receive(sock)
            theirs.sendall(b"a")
            await receive(sock)
            nursery.cancel_scope.cancel()
