"""Ctrl-C inside a call of a socket: what went wrong once.

A KeyboardInterrupt between two steps of ours leaves a task that waits for nothing, or a socket that is closed by half.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio._channel import Channel
from trio_rio._window import SendWindow

from ..engine.harness import fill, open_pair, stdlib_pair, until_sent
from ..platforms import needs_full_buffers, needs_recvmsg

Record = Callable[..., list[bool]]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    """Wrap a function, and list for each call of it whether KeyboardInterrupt would be put off there."""

    def wrap(owner: object, name: str) -> list[bool]:
        seen: list[bool] = []
        real = getattr(owner, name)

        def wrapped(*args: Any) -> Any:
            seen.append(trio.lowlevel.currently_ki_protected())
            return real(*args)

        monkeypatch.setattr(owner, name, wrapped)
        return seen

    return wrap


def close(sock: trio.socket.SocketType) -> None:
    sock.close()


def leave(sock: trio.socket.SocketType) -> None:
    with sock:
        pass


def detach(sock: trio.socket.SocketType) -> None:
    number = sock.detach()
    trio.socket.socket(fileno=number).close()


@pytest.mark.parametrize("end", [close, leave, detach])
async def test_no_interrupt_comes_inside_a_close(end: Callable[[Any], None], record: Record) -> None:
    """Whatever closes a socket ends its channel whole before a KeyboardInterrupt is raised."""
    async with open_pair() as (sock, _):
        await sock.send(b"x")
        await until_sent()
        seen = record(Channel, "close")
        end(sock)
        assert seen == [True]


@pytest.mark.rio_config(cancellation="detach")
async def test_no_interrupt_comes_inside_a_shutdown(record: Record) -> None:
    """A shutdown is done, or put off, before a KeyboardInterrupt is raised."""
    async with open_pair() as (sock, _):
        await sock.send(b"x")
        seen = record(SendWindow, "shutdown")
        sock.shutdown(trio.socket.SHUT_WR)
        assert seen == [True]


async def assert_protected(record: Record, call: Callable[..., Awaitable[object]], *args: object) -> None:
    """A task waits in the call, and was protected when it began to."""
    seen = record(trio.lowlevel, "wait_task_rescheduled")

    async def wait() -> None:
        await call(*args)
        raise AssertionError("the call did not wait")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert seen
        assert all(seen)
        nursery.cancel_scope.cancel()


@needs_recvmsg
@pytest.mark.parametrize("args", [("recvmsg", 10), ("recvmsg_into", [bytearray(10)])], ids=["recvmsg", "recvmsg_into"])
@pytest.mark.rio_config(cancellation="detach")
async def test_no_interrupt_comes_before_a_receive_waits(args: tuple[str, object], record: Record) -> None:
    """A task that is written down as the reader waits before a KeyboardInterrupt is raised."""
    async with open_pair() as (sock, peer):
        await peer.send(b"x")
        await sock.recv(1)
        await assert_protected(record, getattr(sock, args[0]), args[1])


@needs_full_buffers
@pytest.mark.parametrize("args", [("wait_writable",), ("sendmsg", [b"x"])], ids=["wait_writable", "sendmsg"])
@pytest.mark.rio_config(cancellation="detach", send_window_bytes=1000, linger_seconds=0.0)
async def test_no_interrupt_comes_before_a_send_waits(args: tuple[object, ...], record: Record) -> None:
    """A task that is written down as one that waits for the window waits before a KeyboardInterrupt is raised."""
    name, *rest = args
    if name == "sendmsg" and not hasattr(trio.socket.SocketType, "sendmsg"):
        pytest.skip("the sockets of this system have no sendmsg")
    ours, theirs = stdlib_pair()
    with theirs, trio.socket.from_stdlib_socket(ours) as sock:
        fill(ours)
        await sock.send(bytes(1000))
        await assert_protected(record, getattr(sock, str(name)), *rest)
