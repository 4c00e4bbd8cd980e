"""Buffers that are resized while a task waits to receive into them, or to send them: what went wrong once.

Each test runs on stock Trio as well, whose behaviour it is.
"""

from __future__ import annotations

import socket
from array import array
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ..conftest import RioRun
from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, fill, open_pair, receive_exactly, udp_socket
from ..platforms import IS_WINDOWS

pytestmark = BOTH_MODES

needs_recvmsg = pytest.mark.skipif(not hasattr(socket.socket, "recvmsg_into"), reason="there is no recvmsg here")


async def recv_into(sock: Any, buffer: Any) -> int:
    return await sock.recv_into(buffer)  # type: ignore[no-any-return]


async def recvfrom_into(sock: Any, buffer: Any) -> int:
    return (await sock.recvfrom_into(buffer))[0]  # type: ignore[no-any-return]


async def recvmsg_into(sock: Any, buffer: Any) -> int:
    return (await sock.recvmsg_into([buffer]))[0]  # type: ignore[no-any-return]


Receive = Callable[[Any, Any], Awaitable[int]]
every_receive = pytest.mark.parametrize(
    "receive", [recv_into, recvfrom_into, pytest.param(recvmsg_into, marks=needs_recvmsg)]
)


def run_both(rio_run: RioRun, main: Callable[[], Awaitable[object]]) -> None:
    """On stock Trio, and here."""

    async def in_time() -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            await main()

    trio.run(in_time)
    rio_run(in_time)


async def receive_while(
    ours: Any, receive: Receive, buffer: Any, change: Callable[[], object], send: Callable[[], Awaitable[object]]
) -> int:
    """Change the buffer while a task waits to receive into it; what that receives in the end."""
    counts: list[int] = []

    async def wait() -> None:
        counts.append(await receive(ours, buffer))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked(0.01)
        change()
        await send()
    return counts[0]


@every_receive
@pytest.mark.parametrize("is_used", [False, True], ids=["fresh", "used"])
def test_a_buffer_of_a_stream_grows(rio_run: RioRun, receive: Receive, is_used: bool) -> None:
    """A bytearray can be made longer while a task waits to receive into it."""

    async def main() -> None:
        async with open_pair() as (ours, theirs):
            if is_used:
                await theirs.send(b"before")
                assert await ours.recv(10) == b"before"
            buffer = bytearray(4)
            count = await receive_while(
                ours, receive, buffer, partial(buffer.extend, b"12"), partial(theirs.send, b"data")
            )
            assert (count, bytes(buffer)) == (4, b"data12")

    run_both(rio_run, main)


@every_receive
def test_a_buffer_of_a_datagram_grows(rio_run: RioRun, receive: Receive) -> None:
    """The same for a datagram."""

    async def main() -> None:
        with await udp_socket() as ours, await udp_socket() as theirs:
            buffer = bytearray(4)
            send = partial(theirs.sendto, b"data", ours.getsockname())
            assert await receive_while(ours, receive, buffer, partial(buffer.extend, b"12"), send) == 4
            assert buffer == b"data12"

    run_both(rio_run, main)


@every_receive
def test_an_array_grows(rio_run: RioRun, receive: Receive) -> None:
    """An array of larger items can be resized, too."""

    async def main() -> None:
        async with open_pair() as (ours, theirs):
            buffer = array("I", [0])
            count = await receive_while(ours, receive, buffer, partial(buffer.append, 7), partial(theirs.send, b"data"))
            assert (count, buffer.tobytes()[:4], buffer[1]) == (4, b"data", 7)

    run_both(rio_run, main)


@every_receive
def test_a_buffer_that_shrinks_takes_what_it_has_room_for(rio_run: RioRun, receive: Receive) -> None:
    """A bytearray that is shorter when the data come is filled, and the rest is received next."""

    async def main() -> None:
        async with open_pair() as (ours, theirs):
            buffer = bytearray(4)

            def shrink() -> None:
                del buffer[2:]

            assert await receive_while(ours, receive, buffer, shrink, partial(theirs.send, b"data")) == 2
            assert buffer == b"da"
            await theirs.send(b" more")
            assert await ours.recv(2) == b"ta"
            received = b""
            while len(received) < 5:
                received += await ours.recv(10)
            assert received == b" more"

    run_both(rio_run, main)


@pytest.mark.skipif(IS_WINDOWS, reason="a datagram that is cut is an error there")
@every_receive
def test_a_datagram_that_finds_less_room_is_cut(rio_run: RioRun, receive: Receive) -> None:
    """As much of a datagram is received as there is room for when it comes; the next is whole."""

    async def main() -> None:
        with await udp_socket() as ours, await udp_socket() as theirs:
            buffer = bytearray(4)

            def shrink() -> None:
                del buffer[2:]

            send = partial(theirs.sendto, b"data", ours.getsockname())
            assert await receive_while(ours, receive, buffer, shrink, send) == 2
            assert buffer == b"da"
            await theirs.sendto(b"next", ours.getsockname())
            assert await ours.recvfrom(10) == (b"next", theirs.getsockname())

    run_both(rio_run, main)


@pytest.mark.parametrize("method", ["recv_into", "recvfrom_into"])
def test_less_room_than_was_said_is_an_error(rio_run: RioRun, method: str) -> None:
    """A bytearray with less room than ``nbytes`` when the data come is a ValueError, and nothing is lost."""

    async def main() -> None:
        async with open_pair() as (ours, theirs):
            buffer = bytearray(4)

            async def receive(sock: Any, into: Any) -> int:
                with pytest.raises(ValueError, match="buffer"):
                    await getattr(sock, method)(into, 3)
                return -1

            assert await receive_while(ours, receive, buffer, buffer.clear, partial(theirs.send, b"data")) == -1
            assert await receive_exactly(ours, 4) == b"data"
            await theirs.send(b"next")
            assert await ours.recv(10) == b"next"

    run_both(rio_run, main)


@every_receive
def test_a_view_that_is_released_is_an_error(rio_run: RioRun, receive: Receive) -> None:
    """A memoryview that was released when the data come is an error, and nothing is lost."""

    async def main() -> None:
        async with open_pair() as (ours, theirs):
            buffer = bytearray(4)
            view = memoryview(buffer)

            def release() -> None:
                view.release()
                buffer.append(1)

            async def fail(sock: Any, into: Any) -> int:
                with pytest.raises((TypeError, ValueError)):
                    await receive(sock, into)
                return -1

            assert await receive_while(ours, fail, view, release, partial(theirs.send, b"data")) == -1
            assert await ours.recv(10) == b"data"

    run_both(rio_run, main)


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_what_waits_to_be_sent_grows(rio_run: RioRun, size: int) -> None:
    """A bytearray can be made longer while a task waits to send it."""

    async def main() -> None:
        async with open_pair() as (ours, _):
            await ours.send(b"first")
            fill(ours._sock)  # type: ignore[attr-defined]
            buffer = bytearray(size)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.send, buffer)
                await wait_all_tasks_blocked(0.01)
                buffer.append(1)
                nursery.cancel_scope.cancel()

    run_both(rio_run, main)
