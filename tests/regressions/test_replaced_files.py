"""Numbers that dup2(2) gives another file, while a socket has them and no task waits: as on stock Trio."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import RioStream
from trio_rio.testing import assert_ledger_balanced

from ..engine.harness import PATIENCE_SECONDS, settled, stdlib_pair
from ..platforms import IS_WINDOWS

pytestmark = [
    pytest.mark.skipif(IS_WINDOWS, reason="about descriptors"),
    pytest.mark.parametrize(
        "way",
        [
            "plain",
            pytest.param("ahead", marks=pytest.mark.rio_config(read_ahead=1)),
            pytest.param("detach", marks=pytest.mark.rio_config(cancellation="detach")),
            pytest.param("event", marks=pytest.mark.rio_config(notification="event")),
            pytest.param("polled", marks=pytest.mark.rio_config(notification="polled")),
            pytest.param("queues", marks=pytest.mark.rio_config(completion_queues=3, separate_send_queue=True)),
        ],
    ),
]


@contextlib.contextmanager
def connections() -> Iterator[tuple[Any, socket.socket, socket.socket, socket.socket]]:
    """A Trio socket, its peer, and another connection's two ends."""
    ours, theirs = stdlib_pair()
    second, other = stdlib_pair()
    with ours, theirs, second, other:
        for peer in (theirs, other):
            peer.settimeout(PATIENCE_SECONDS)
        second.setblocking(False)  # of the file, not of the number
        yield trio.socket.from_stdlib_socket(ours), theirs, second, other


RECEIVES: dict[str, Callable[[Any], Awaitable[bytes]]] = {}


def receives(function: Callable[[Any], Awaitable[bytes]]) -> Callable[[Any], Awaitable[bytes]]:
    """One way to receive."""
    RECEIVES[function.__name__] = function
    return function


@receives
async def recv(sock: Any) -> bytes:
    """Trio's own."""
    data: bytes = await sock.recv(100)
    return data


@receives
async def recv_into(sock: Any) -> bytes:
    """Into memory of the caller's."""
    memory = bytearray(100)
    return bytes(memory[: await sock.recv_into(memory)])


@receives
async def recvmsg(sock: Any) -> bytes:
    """With what comes beside."""
    data: bytes = (await sock.recvmsg(100))[0]
    return data


@receives
async def stream(sock: Any) -> bytes:
    """By a stream of ours."""
    return await RioStream(sock).receive_some(100)


@receives
async def lease(sock: Any) -> bytes:
    """In place."""
    async with RioStream(sock).receive_lease() as view:
        return bytes(view)


@receives
async def after_a_wait(sock: Any) -> bytes:
    """As readiness says."""
    await trio.lowlevel.wait_readable(sock)
    return await recv(sock)


@pytest.mark.parametrize("receive", RECEIVES)
@pytest.mark.parametrize("before", ["nothing", "bytes", "end"])
async def test_what_comes_on_the_new_file_is_received(receive: str, before: str, way: str) -> None:
    """Of the earlier file nothing is received any more, whatever had come; of the new one all, again and again."""
    with connections() as (sock, theirs, second, other), trio.fail_after(PATIENCE_SECONDS):
        theirs.send(b"first")
        assert await sock.recv(100) == b"first"
        with trio.move_on_after(0.01):
            await sock.recv(100)
        if before == "bytes":
            theirs.send(b"old")
        elif before == "end":
            theirs.shutdown(socket.SHUT_WR)
        await wait_all_tasks_blocked(0.01)
        os.dup2(second.fileno(), sock.fileno())
        second.close()

        async def receive_new() -> None:
            assert await RECEIVES[receive](sock) == b"new"

        for _ in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive_new)
                await wait_all_tasks_blocked()
                other.send(b"new")
        await sock.send(b"answer")
        assert other.recv(10) == b"answer"
        sock.close()
        assert other.recv(1) == b""
        await settled()
    assert_ledger_balanced()


async def test_the_earlier_file_closes(way: str) -> None:
    """The peer of the earlier file sees its end at the next receive at the latest."""
    with connections() as (sock, theirs, second, other), trio.fail_after(PATIENCE_SECONDS):
        with trio.move_on_after(0.01):
            await sock.recv(100)
        os.dup2(second.fileno(), sock.fileno())
        other.send(b"new")
        assert await sock.recv(100) == b"new"
        assert theirs.recv(1) == b""
