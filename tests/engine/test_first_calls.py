"""The first calls of a stream go Trio's own way, and those that follow are requests; nobody can tell but by cost."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Awaitable, Callable, Iterator

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_rio
from trio_rio._sockets.own_way import CALLS_WITHOUT_CHANNEL

from .harness import open_pair, stdlib_pair

pytestmark = [pytest.mark.first_calls, pytest.mark.providers("uring")]


Pair = tuple[trio.socket.SocketType, socket.socket]


@contextlib.contextmanager
def a_pair() -> Iterator[Pair]:
    """A connected Trio socket of this run, and its peer, a blocking one."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        yield sock, theirs


def channels() -> int:
    return trio_rio.current_statistics().sockets_open


async def test_a_short_connection_makes_no_channel() -> None:
    """A request and its answer."""
    with a_pair() as (sock, theirs):
        theirs.sendall(b"ask")
        assert await sock.recv(10) == b"ask"
        assert await sock.send(b"answer") == 6
        assert theirs.recv(10) == b"answer"
        assert channels() == 0


@pytest.mark.parametrize("kind", ["receive", "send", "stream"])
async def test_a_connection_that_goes_on_gets_one(kind: str) -> None:
    """After so many calls, whatever they are."""
    with a_pair() as (sock, theirs):
        stream = trio_rio.RioStream(sock)
        theirs.sendall(b"abcdef")
        calls: dict[str, Callable[[int], Awaitable[object]]] = {
            "receive": sock.recv,
            "send": lambda _: sock.send(b"x"),
            "stream": stream.receive_some,
        }
        for _ in range(CALLS_WITHOUT_CHANNEL):
            assert channels() == 0
            await calls[kind](1)
        await calls[kind](1)
        assert channels() == 1


async def test_each_of_them_is_a_checkpoint() -> None:
    """A receive of what is there, a send that fits, the end of the stream, and a failure."""
    with a_pair() as (sock, theirs):
        theirs.sendall(b"x")
        with assert_checkpoints():
            assert await sock.recv(10) == b"x"
        with assert_checkpoints():
            await sock.send(b"x")
        theirs.shutdown(socket.SHUT_WR)
        with assert_checkpoints():
            assert await sock.recv(10) == b""
        sock.shutdown(socket.SHUT_WR)
        with assert_checkpoints(), pytest.raises(BrokenPipeError):
            await sock.send(b"x")


async def test_cancelled_they_take_nothing() -> None:
    """Before the call, and while it waits."""
    with a_pair() as (sock, theirs):
        theirs.sendall(b"x")
        with trio.CancelScope() as scope:
            scope.cancel()
            await sock.recv(10)
        assert scope.cancelled_caught
        assert await sock.recv(10) == b"x"
        with trio.move_on_after(0.01):
            await sock.recv(10)
        theirs.sendall(b"y")
        assert await sock.recv(10) == b"y"


async def test_a_receive_that_waits_so_is_not_overtaken() -> None:
    """The channel may be made meanwhile, by sends; a second receive is busy, and the first has its bytes."""
    with a_pair() as (sock, theirs):
        async with trio.open_nursery() as nursery:
            received: list[bytes] = []

            async def receive() -> None:
                received.append(await sock.recv(10))

            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            for _ in range(CALLS_WITHOUT_CHANNEL + 1):
                await sock.send(b"x")
            assert channels() == 1
            with pytest.raises(trio.BusyResourceError):
                await sock.recv(10)
            theirs.sendall(b"mine")
        assert received == [b"mine"]


async def test_close_wakes_who_waits_so() -> None:
    """With ClosedResourceError, as ever."""
    with a_pair() as (sock, _):
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await sock.recv(10)

            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            sock.close()


@pytest.mark.parametrize("kind", ["receive", "send"])
async def test_a_lease_makes_a_channel_at_once(kind: str) -> None:
    """Who asks for registered memory gets it."""
    async with open_pair() as (client, server):
        await server.send(b"x")
        stream = trio_rio.RioStream(client)
        lease = stream.receive_lease if kind == "receive" else functools.partial(stream.lease_send, 1)
        async with lease():
            assert trio_rio.testing.current_ledger().requests_leased == 1
