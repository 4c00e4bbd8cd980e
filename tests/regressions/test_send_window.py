"""Sends inside a window: what went wrong once."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio._engine.current import engine_of_run

from ..engine.harness import PATIENCE_SECONDS, fill, receive_all, stdlib_pair
from ..platforms import RESET_AT_CLOSE, needs_full_buffers, needs_recvmsg

pytestmark = [needs_full_buffers, pytest.mark.rio_config(cancellation="detach", send_window_bytes=1)]


async def test_a_broken_stream_stays_broken() -> None:
    """Once a send has failed, each later one fails too."""
    ours, theirs = stdlib_pair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    with trio.socket.from_stdlib_socket(ours) as sock:
        theirs.close()
        outcomes: list[str] = []
        while outcomes.count("error") < 5:
            try:
                await sock.send(b"x")
                outcomes.append("sent")
            except OSError:
                outcomes.append("error")
    assert outcomes[outcomes.index("error") :] == ["error"] * 5


async def test_every_task_that_waits_for_room_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One send is in flight and five tasks wait for room: when it fails, all five hear of it.

    As many may wait where nobody can tell whether the socket takes no more, as on Windows.
    """
    monkeypatch.setattr(type(engine_of_run().provider), "try_sends", lambda provider, queue: False)
    ours, theirs = stdlib_pair()
    failed = 0

    async def send() -> None:
        nonlocal failed
        with pytest.raises(OSError):
            while True:
                await sock.send(b"x")
        failed += 1

    with trio.socket.from_stdlib_socket(ours) as sock:
        fill(ours)
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(send)
                await wait_all_tasks_blocked()
                theirs.close()
    assert failed == 5


async def test_nothing_is_sent_after_shutdown() -> None:
    """A send after shutdown(SHUT_WR) fails with EPIPE, though the shutdown itself is put off; the stream is intact."""
    ours, theirs = stdlib_pair()
    count = fill(ours)
    with trio.socket.from_stdlib_socket(ours) as client, theirs:
        await client.send(b"before")
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPipeError):
            await client.send(b"after")
        theirs.setblocking(False)
        with trio.socket.from_stdlib_socket(theirs) as server, trio.fail_after(PATIENCE_SECONDS):
            assert (await receive_all(server))[count:] == b"before"


async def test_a_task_that_waits_for_room_is_told_of_a_shutdown() -> None:
    """Another task shuts sending down: a send that waits for room will never be made, and fails at once."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        fill(ours)
        await sock.send(b"x")  # in the window, as much as there may be

        async def send() -> None:
            with pytest.raises(BrokenPipeError):
                await sock.send(b"x")

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                await wait_all_tasks_blocked()
                sock.shutdown(socket.SHUT_WR)


@needs_recvmsg
async def test_sendmsg_behind_sends_in_flight() -> None:
    """While another task waits for them to go out: without bytes it is done, cancelled it says so, else it is busy."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs, trio.fail_after(PATIENCE_SECONDS):
        fill(ours)
        await sock.send(b"x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sock.sendmsg, [b"x"])
            await wait_all_tasks_blocked()
            assert await sock.sendmsg([b""]) == 0
            with trio.CancelScope() as scope:
                scope.cancel()
                await sock.sendmsg([b"x"])
            assert scope.cancelled_caught
            with pytest.raises(trio.BusyResourceError):
                await sock.sendmsg([b"x"])
            nursery.cancel_scope.cancel()
