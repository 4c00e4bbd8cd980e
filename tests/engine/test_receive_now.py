"""A task that is alone receives by one plain call; it is told and cancelled as one whose receive was posted."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_rio
from trio_rio._engine.current import current_engine
from trio_rio._engine.fields import native

from .harness import stdlib_pair

pytestmark = [
    pytest.mark.providers("uring"),
    pytest.mark.skipif(native is None, reason="there is no engine in C"),
]

Receive = Callable[[trio.socket.SocketType, int], Awaitable[bytes]]


async def receive_by_stream(sock: trio.socket.SocketType, size: int) -> bytes:
    stream = trio_rio.RioStream(sock)
    stream._find_channel()  # as an earlier call does
    return await stream.receive_some(size)


RECEIVES: dict[str, Receive] = {
    "socket": lambda sock, size: sock.recv(size),
    "stream": receive_by_stream,
    "trio's stream": lambda sock, size: trio.SocketStream(sock).receive_some(size),
}


@pytest.fixture(params=[*RECEIVES])
def receive(request: pytest.FixtureRequest) -> Receive:
    """A way to receive."""
    return RECEIVES[request.param]


def completions() -> int:
    engine = current_engine()
    assert engine is not None
    engine.look()
    return trio_rio.current_statistics().completions_dequeued


async def a_pair() -> tuple[trio.socket.SocketType, socket.socket]:
    """A socket that has its channel, and its peer, a blocking one."""
    ours, theirs = stdlib_pair()
    sock = trio.socket.from_stdlib_socket(ours)
    await sock.send(b"1")
    assert theirs.recv(1) == b"1"
    return sock, theirs


async def test_what_is_there_makes_no_request(receive: Receive) -> None:
    """It is a checkpoint all the same."""
    sock, theirs = await a_pair()
    with sock, theirs:
        before = completions()
        for number in range(20):
            theirs.send(bytes([number]))
            with assert_checkpoints():
                assert await receive(sock, 10) == bytes([number])
        assert completions() == before


async def test_what_comes_later_is_waited_for(receive: Receive) -> None:
    """After two in vain receives are posted; that they are tried again now and then loses nothing."""
    sock, theirs = await a_pair()
    with sock, theirs:
        received: list[bytes] = []

        async def receive_one() -> None:
            received.append(await receive(sock, 10))

        before = completions()
        for number in range(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive_one)
                await wait_all_tasks_blocked()
                theirs.send(bytes([number]))
        assert received == [bytes([number]) for number in range(60)]
        assert completions() - before == 60


async def test_a_long_message_comes_whole_and_in_order(receive: Receive) -> None:
    """More than a small slice has."""
    sock, theirs = await a_pair()
    with sock, theirs:
        data = bytes(range(256)) * 150
        theirs.sendall(data)
        received = b""
        while len(received) < len(data):
            received += await receive(sock, 5000)
        assert received == data


async def test_cancelled_it_takes_nothing(receive: Receive) -> None:
    """A task that is cancelled when it calls."""
    sock, theirs = await a_pair()
    with sock, theirs:
        theirs.send(b"kept")
        with trio.CancelScope() as scope:
            scope.cancel()
            await receive(sock, 10)
        assert scope.cancelled_caught
        assert await receive(sock, 10) == b"kept"


async def test_the_end_and_a_reset_are_told(receive: Receive) -> None:
    """The end again and again; a reset once, after what came before it."""
    sock, theirs = await a_pair()
    with sock, theirs:
        theirs.send(b"last")
        theirs.shutdown(socket.SHUT_WR)
        assert await receive(sock, 10) == b"last"
        for _ in range(3):
            assert await receive(sock, 10) == b""
    sock, theirs = await a_pair()
    with sock:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        with pytest.raises((ConnectionResetError, trio.BrokenResourceError)) as info:
            await receive(sock, 10)
        error = info.value if isinstance(info.value, OSError) else info.value.__cause__
        assert isinstance(error, ConnectionResetError)
        assert await receive(sock, 10) == b""


async def test_it_overtakes_no_receive_that_waits(receive: Receive) -> None:
    """A second task is told that the socket is busy."""
    sock, theirs = await a_pair()
    with sock, theirs:
        received: list[bytes] = []

        async def receive_one() -> None:
            received.append(await receive(sock, 10))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_one)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await receive(sock, 10)
            theirs.send(b"mine")
        assert received == [b"mine"]


async def test_beside_a_task_that_waits_for_readability(receive: Receive) -> None:
    """It has what is there, as on stock Trio, and that task goes on with what comes next."""
    sock, theirs = await a_pair()
    with sock, theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.wait_readable, sock)
            await wait_all_tasks_blocked()
            theirs.send(b"x")
            assert await receive(sock, 10) == b"x"
            theirs.send(b"y")
        assert await receive(sock, 10) == b"y"
