"""In the middle of much a receive is a plain call; nobody can tell but by cost."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_rio

from .harness import stdlib_pair

pytestmark = pytest.mark.providers("uring")

SIZE = 65536
Receive = Callable[[], Awaitable[bytes | bytearray]]
KINDS = pytest.mark.parametrize("kind", ["recv", "stream", "trio's stream"])


def receiver(kind: str, sock: trio.socket.SocketType) -> Receive:
    """A way to receive a large slice's worth."""
    streams = {"stream": trio_rio.RioStream, "trio's stream": trio.SocketStream}
    if kind == "recv":
        return lambda: sock.recv(SIZE)
    stream = streams[kind](sock)
    return lambda: stream.receive_some(SIZE)


def completed() -> int:
    return trio_rio.current_statistics().completions_dequeued


async def get_busy(receive: Receive, theirs: socket.socket) -> None:
    """Receive until the connection counts as busy, and then all that is there."""
    for _ in range(8):
        theirs.sendall(bytes(2 * SIZE))
        left = 2 * SIZE
        while left:
            left -= len(await receive())
            assert left >= 0


@KINDS
async def test_it_makes_no_request(kind: str) -> None:
    """What is there comes in order, and nothing has completed."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        receive = receiver(kind, sock)
        theirs.sendall(bytes(8 * SIZE))
        for _ in range(4):
            await receive()
        before = completed()
        with assert_checkpoints():
            await receive()
        assert completed() == before


@KINDS
async def test_what_is_not_there_is_waited_for(kind: str) -> None:
    """By a request; and later bytes come in order."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        receive = receiver(kind, sock)
        await get_busy(receive, theirs)
        received: list[bytes | bytearray] = []
        async with trio.open_nursery() as nursery:

            async def take() -> None:
                received.append(await receive())

            nursery.start_soon(take)
            await wait_all_tasks_blocked()
            theirs.sendall(b"late")
        assert received == [b"late"]


@KINDS
async def test_cancelled_it_takes_nothing(kind: str) -> None:
    """A task that is cancelled when it calls."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        receive = receiver(kind, sock)
        theirs.sendall(bytes(6 * SIZE))
        received = 0
        for _ in range(4):
            received += len(await receive())
        with trio.CancelScope() as scope:
            scope.cancel()
            await receive()
        assert scope.cancelled_caught
        while received < 6 * SIZE:
            received += len(await receive())
        assert received == 6 * SIZE


@KINDS
async def test_the_end_is_told(kind: str) -> None:
    """Again and again."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        receive = receiver(kind, sock)
        await get_busy(receive, theirs)
        theirs.shutdown(socket.SHUT_WR)
        for _ in range(3):
            with assert_checkpoints():
                assert await receive() == b""


@KINDS
async def test_a_reset_is_told(kind: str) -> None:
    """By the error that a request ends with, and not as a proper end."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock:
        receive = receiver(kind, sock)
        theirs.sendall(bytes(5 * SIZE))
        for _ in range(4):
            await receive()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        with pytest.raises((ConnectionResetError, trio.BrokenResourceError)):
            while True:  # what came before
                with assert_checkpoints():
                    assert await receive()


@KINDS
async def test_another_task_that_receives_is_in_the_way(kind: str) -> None:
    """One that waits by a request makes a second one busy, also in the middle of much."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        receive = receiver(kind, sock)
        await get_busy(receive, theirs)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await receive()
            theirs.sendall(b"x")
