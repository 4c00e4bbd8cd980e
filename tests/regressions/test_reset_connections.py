"""A connection that is reset while tasks wait to receive and to send: what went wrong once."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import RioStream

from ..engine.harness import PATIENCE_SECONDS, fill, stdlib_pair
from ..platforms import RESET_AT_CLOSE

pytestmark = pytest.mark.providers("uring", "portable")

MODES = pytest.mark.parametrize(
    "mode", ["request", pytest.param("detach", marks=pytest.mark.rio_config(cancellation="detach"))]
)


@MODES
@pytest.mark.parametrize("first", ["receive", "send"])
async def test_the_task_that_receives_is_told_of_the_reset(mode: str, first: str) -> None:
    """Whichever waited first. It never takes the reset for the end of the stream; on stock Trio it does, if the task
    that sends happens to run before it.
    """
    ours, theirs = stdlib_pair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    errors: list[str] = []

    async def receive() -> None:
        with pytest.raises(ConnectionResetError):
            await sock.recv(10)
        errors.append("receive")

    async def send() -> None:
        with pytest.raises(BrokenPipeError):
            while True:  # with a window, the next one is told
                await sock.send(b"x")
        errors.append("send")

    with trio.socket.from_stdlib_socket(ours) as sock, trio.fail_after(PATIENCE_SECONDS):
        fill(ours)
        async with trio.open_nursery() as nursery:
            for task in (receive, send) if first == "receive" else (send, receive):
                nursery.start_soon(task)
                await wait_all_tasks_blocked()
            theirs.close()
        assert sorted(errors) == ["receive", "send"]
        assert await sock.recv(10) == b""  # once


@MODES
@pytest.mark.parametrize("first", ["receive", "send"])
async def test_both_sides_of_a_stream_are_broken_by_a_reset(mode: str, first: str) -> None:
    """BrokenResourceError for receive_some() and for send_all()."""
    ours, theirs = stdlib_pair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    broken = 0

    async def receive() -> None:
        nonlocal broken
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some(10)
        broken += 1

    async def send() -> None:
        nonlocal broken
        with pytest.raises(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"x")
        broken += 1

    fill(ours)
    async with RioStream(trio.socket.from_stdlib_socket(ours)) as stream:
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for task in (receive, send) if first == "receive" else (send, receive):
                    nursery.start_soon(task)
                    await wait_all_tasks_blocked()
                theirs.close()
    assert broken == 2


async def test_a_reset_without_a_receive_is_the_sender_s() -> None:
    """ConnectionResetError for the send; after that a receive sees the end, as on stock Trio."""
    ours, theirs = stdlib_pair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    with trio.socket.from_stdlib_socket(ours) as sock, trio.fail_after(PATIENCE_SECONDS):
        await sock.send(b"-")
        fill(ours)

        async def send() -> None:
            with pytest.raises(ConnectionResetError):
                while True:
                    await sock.send(b"x")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            theirs.close()
        assert await sock.recv(10) == b""
