"""Calls that go Trio's own way, with either engine: the first of a stream, accepting, single datagrams.

The engine in C makes the plain call itself; what a program sees is what it sees of the coroutines of Python.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_rio
from trio_rio import RioStream
from trio_rio._engine.fields import native

from .harness import stdlib_pair

ENGINES = [
    pytest.param("native", marks=pytest.mark.skipif(native is None, reason="there is no engine in C")),
    "python",
]
pytestmark = [pytest.mark.first_calls, pytest.mark.providers("uring"), pytest.mark.parametrize("engine", ENGINES)]


@pytest.fixture(autouse=True)
def on_uring(rio_provider: str) -> None:
    """Nothing where io_uring is not to be used."""
    assert rio_provider == "uring"


def run(engine: Any, async_fn: Callable[..., Awaitable[Any]]) -> Any:
    """Run with this engine."""
    return trio_rio.run(async_fn, config=trio_rio.RioConfig(provider="uring", engine=engine))


async def a_pair() -> tuple[trio.socket.SocketType, socket.socket]:
    """A Trio socket that has had no call, and its peer, a blocking one."""
    ours, theirs = stdlib_pair()
    return trio.socket.from_stdlib_socket(ours), theirs


async def a_listener() -> trio.socket.SocketType:
    """A listening socket on loopback."""
    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def names_in(error: BaseException) -> list[str]:
    """The names of the functions that a traceback shows."""
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("is_early", [True, False], ids=["before", "meanwhile"])
@pytest.mark.parametrize("name", ["recv", "receive_some"])
def test_a_failed_receive_names_the_call(engine: str, name: str, is_early: bool) -> None:
    """Whether the peer is gone at once, or while the call waits; and it is a checkpoint."""

    async def main() -> None:
        sock, theirs = await a_pair()
        call = sock.recv if name == "recv" else RioStream(sock).receive_some
        errors: list[BaseException] = []

        async def receive() -> None:
            with assert_checkpoints():
                try:
                    await call(10)
                except (OSError, trio.BrokenResourceError) as error:
                    errors.append(error)

        async with trio.open_nursery() as nursery:
            if is_early:
                reset(theirs)
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            if not is_early:
                reset(theirs)
        expected = ConnectionResetError if name == "recv" else trio.BrokenResourceError
        assert isinstance(errors[0], expected)
        assert any(name in shown for shown in names_in(errors[0]))
        sock.close()

    run(engine, main)


@pytest.mark.parametrize("name", ["send", "send_all"])
def test_a_failed_send_names_the_call(engine: str, name: str) -> None:
    """And the stream may be told to send again, which fails again, and is not busy."""

    async def main() -> None:
        sock, theirs = await a_pair()
        stream = RioStream(sock)
        call: Any = sock.send if name == "send" else stream.send_all
        reset(theirs)
        await wait_all_tasks_blocked()
        for _ in range(2):
            with assert_checkpoints(), pytest.raises((OSError, trio.BrokenResourceError)) as info:
                await call(b"x")
            assert any(name in shown for shown in names_in(info.value))
        sock.close()

    run(engine, main)


@pytest.mark.parametrize("name", ["recv", "send", "recvfrom", "sendto", "accept", "receive_some", "send_all"])
def test_a_call_that_is_not_awaited_complains(engine: str, name: str) -> None:
    """By its name."""

    async def main() -> None:
        sock, theirs = await a_pair()
        owner: Any = RioStream(sock) if name in ("receive_some", "send_all") else sock
        arguments: dict[str, tuple[object, ...]] = {"accept": (), "send": (b"x",), "send_all": (b"x",)}
        arguments["sendto"] = (b"x", ("127.0.0.1", 9))
        with pytest.warns(RuntimeWarning, match=rf"{name}' was never awaited"):
            getattr(owner, name)(*arguments.get(name, (10,)))
        sock.close()
        theirs.close()

    run(engine, main)


def test_an_accepted_socket_is_as_the_listening_one(engine: str) -> None:
    """Of its family, type and protocol; it does not block, and is not inherited by children."""

    async def main() -> None:
        with await a_listener() as listener, socket.create_connection(listener.getsockname()) as client:
            with assert_checkpoints():
                sock, address = await listener.accept()
            with sock:
                assert address == client.getsockname()
                assert (sock.family, sock.type, sock.proto) == (socket.AF_INET, socket.SOCK_STREAM, listener.proto)
                assert isinstance(sock, type(listener))
                assert not sock.did_shutdown_SHUT_WR
                assert not os.get_blocking(sock.fileno())
                assert not os.get_inheritable(sock.fileno())
                assert "laddr" in repr(sock)

    run(engine, main)


def test_accept_waits_and_is_cancelled_without_taking(engine: str) -> None:
    """The next one has the connection."""

    async def main() -> None:
        with await a_listener() as listener:
            with trio.move_on_after(0.01) as scope:
                await listener.accept()
            assert scope.cancelled_caught
            with socket.create_connection(listener.getsockname()):
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await listener.accept()
                assert scope.cancelled_caught
                sock, _ = await listener.accept()
                sock.close()

    run(engine, main)


def test_accept_says_what_is_wrong(engine: str) -> None:
    """Not listening; closed, before and meanwhile."""

    async def main() -> None:
        with trio.socket.socket() as sock, assert_checkpoints(), pytest.raises(OSError, match="Invalid") as info:
            await sock.accept()
        assert info.value.errno == errno.EINVAL
        assert "accept" in " ".join(names_in(info.value))
        listener = await a_listener()
        async with trio.open_nursery() as nursery:

            async def accept() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await listener.accept()

            nursery.start_soon(accept)
            await wait_all_tasks_blocked()
            listener.close()
        with pytest.raises(OSError, match="Bad file") as info:
            await listener.accept()
        assert info.value.errno == errno.EBADF

    run(engine, main)


def test_without_descriptors_nothing_is_lost(engine: str) -> None:
    """Accept fails with EMFILE; with room again the connection is there."""

    async def main() -> None:
        with await a_listener() as listener, socket.create_connection(listener.getsockname()):
            await wait_all_tasks_blocked()
            resource = pytest.importorskip("resource")  # Windows has none
            limits = resource.getrlimit(resource.RLIMIT_NOFILE)
            lowest = os.open(os.devnull, os.O_RDONLY)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
            try:
                with pytest.raises(OSError, match="Too many") as info:
                    await listener.accept()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            assert info.value.errno == errno.EMFILE
            sock, _ = await listener.accept()
            sock.close()

    run(engine, main)


def test_a_datagram_that_is_there_is_a_checkpoint(engine: str) -> None:
    """A receive and a send, the first of which makes the channel; cancelled, they do nothing."""

    async def main() -> None:
        with trio.socket.socket(type=socket.SOCK_DGRAM) as one, trio.socket.socket(type=socket.SOCK_DGRAM) as other:
            await one.bind(("127.0.0.1", 0))
            await other.bind(("127.0.0.1", 0))
            for number in range(3):
                data = bytes([number])
                with assert_checkpoints():
                    assert await one.sendto(data, other.getsockname()) == 1
                with assert_checkpoints():
                    assert await other.recvfrom(10) == (data, one.getsockname())
            await one.sendto(b"kept", other.getsockname())
            with trio.CancelScope() as scope:
                scope.cancel()
                await other.recvfrom(10)
            assert scope.cancelled_caught
            with trio.CancelScope() as scope:
                scope.cancel()
                await one.sendto(b"never", other.getsockname())
            assert scope.cancelled_caught
            assert await other.recvfrom(10) == (b"kept", one.getsockname())
            with trio.move_on_after(0.01) as scope:
                await other.recvfrom(10)
            assert scope.cancelled_caught

    run(engine, main)


@pytest.mark.parametrize("name", ["recvfrom", "sendto"])
def test_a_failed_datagram_names_the_call(engine: str, name: str) -> None:
    """What is refused by the system, of a plain call that went before."""

    async def main() -> None:
        with trio.socket.socket(type=socket.SOCK_DGRAM) as one, trio.socket.socket(type=socket.SOCK_DGRAM) as other:
            await one.bind(("127.0.0.1", 0))
            await other.bind(("127.0.0.1", 0))
            address = other.getsockname()
            await one.sendto(b"x", address)
            await other.recvfrom(10)
            with assert_checkpoints(), pytest.raises((OSError, ValueError, OverflowError)) as info:
                await (one.sendto(bytes(70000), address) if name == "sendto" else other.recvfrom(-1))
            assert name in " ".join(names_in(info.value))

    run(engine, main)


def test_datagrams_that_are_waited_for_come_in_order(engine: str) -> None:
    """Also when receives are cancelled between, and when several are there at once after a time of waiting."""

    async def main() -> None:
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock, socket.socket(type=socket.SOCK_DGRAM) as peer:
            await sock.bind(("127.0.0.1", 0))
            peer.connect(sock.getsockname())
            received: list[int] = []
            sent = 0
            async with trio.open_nursery() as nursery:

                async def receive() -> None:
                    data, address = await sock.recvfrom(65536)
                    assert address == peer.getsockname()
                    received.append(int.from_bytes(data, "big"))

                for turn in range(120):
                    nursery.start_soon(receive)
                    await wait_all_tasks_blocked()
                    if turn % 7 == 0:
                        with pytest.raises(trio.BusyResourceError):
                            await sock.recvfrom(10)
                    for _ in range(1 + turn % 3):
                        peer.send(sent.to_bytes(4, "big"))
                        sent += 1
                    await wait_all_tasks_blocked()
                    if turn % 3:
                        await receive()
                    if turn % 5 == 0:
                        with trio.CancelScope() as scope:
                            scope.cancel()
                            await receive()
                    if turn % 3 == 2:
                        await receive()
            assert received == list(range(sent))

    run(engine, main)
