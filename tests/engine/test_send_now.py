"""A task that is alone sends by one plain call; it is told, cancelled and refused as one whose send was posted."""

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
from trio_rio._engine.requests import SEND_NOW_BYTES_MAX

from .harness import PATIENCE_SECONDS, receive_exactly, stdlib_pair

pytestmark = pytest.mark.providers("uring")

Send = Callable[[trio.socket.SocketType, bytes], Awaitable[object]]


async def send_view(sock: trio.socket.SocketType, data: bytes) -> int:
    with memoryview(bytearray(data)) as view:
        return await sock.send(view)


async def send_by_stream(sock: trio.socket.SocketType, data: bytes) -> None:
    stream = trio_rio.RioStream(sock)
    stream._find_channel()  # as an earlier call does
    await stream.send_all(data)


SENDS: dict[str, Send] = {
    "bytes": lambda sock, data: sock.send(data),
    "memoryview": send_view,
    "stream": send_by_stream,
    "trio's stream": lambda sock, data: trio.SocketStream(sock).send_all(data),
}


@pytest.fixture(params=[*SENDS])
def send(request: pytest.FixtureRequest) -> Send:
    """A way to send."""
    return SENDS[request.param]


def completions() -> int:
    engine = current_engine()
    assert engine is not None
    engine.look()
    return trio_rio.current_statistics().completions_dequeued


async def test_it_makes_no_request(send: Send) -> None:
    """The bytes are there, and nothing has completed."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        await sock.send(b"1")  # makes the channel
        before = completions()
        with assert_checkpoints():
            await send(sock, b"2")
        assert theirs.recv(2, socket.MSG_WAITALL) == b"12"
        assert completions() == before


async def test_cancelled_it_sends_nothing(send: Send) -> None:
    """A task that is cancelled when it calls."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        await send(sock, b"first")
        with trio.CancelScope() as scope:
            scope.cancel()
            await send(sock, b"never")
        assert scope.cancelled_caught
        await send(sock, b"second")
        assert theirs.recv(11, socket.MSG_WAITALL) == b"firstsecond"


async def test_what_does_not_fit_follows_in_order() -> None:
    """The socket takes a part, and the rest waits for the peer."""
    ours, theirs = stdlib_pair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    data = b"".join(struct.pack(">I", number) for number in range(16000))
    theirs.setblocking(False)
    with trio.socket.from_stdlib_socket(ours) as sock, trio.socket.from_stdlib_socket(theirs) as peer:
        stream = trio_rio.RioStream(sock)
        received = bytearray()

        async def receive() -> None:
            await wait_all_tasks_blocked()
            received.extend(await receive_exactly(peer, 40 * len(data)))

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                for _ in range(40):
                    await stream.send_all(data)
        assert received == 40 * data


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def test_a_broken_connection_is_told_once() -> None:
    """The first send says what happened, as a posted one does; the next that there is no connection."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock:
        await sock.send(b"x")
        reset(theirs)
        with assert_checkpoints(), pytest.raises(ConnectionResetError):
            await sock.send(b"x")
        with assert_checkpoints(), pytest.raises(BrokenPipeError):
            await sock.send(b"x")


async def test_a_receive_that_waits_is_told_first() -> None:
    """Of the end of the connection; the send only that there is none any more."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock:
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(ConnectionResetError):
                    await sock.recv(10)

            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            theirs.sendall(b"")
            reset(theirs)
            with pytest.raises(BrokenPipeError):
                await sock.send(b"x")


@pytest.mark.skipif(native is None, reason="there is no engine in C")
async def test_of_much_a_part_goes_so() -> None:
    """Where a part is enough: ``send`` returns how much went, and the rest follows in order."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        await sock.send(b"!")  # makes the channel
        data = bytes(range(256)) * (3 * SEND_NOW_BYTES_MAX // 256)
        before = completions()
        with assert_checkpoints(), memoryview(data) as view:
            sent = await sock.send(view)
        assert 0 < sent <= SEND_NOW_BYTES_MAX
        assert completions() == before
        received: list[bytes] = []
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                received.append(await trio.to_thread.run_sync(theirs.recv, 1 + len(data), socket.MSG_WAITALL))

            nursery.start_soon(receive)
            await trio.SocketStream(sock).send_all(data[sent:])
        assert received == [b"!" + data]
