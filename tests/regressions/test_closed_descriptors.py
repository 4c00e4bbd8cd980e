"""Descriptors that are closed without a word, and numbers that are none: as on Trio's own manager."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ..conftest import RioRun
from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, tcp_pair
from ..platforms import IS_WINDOWS, needs_full_buffers

pytestmark = [*BOTH_MODES, pytest.mark.skipif(IS_WINDOWS, reason="about descriptors")]

WAITS = ["wait_readable", "wait_writable"]


@contextlib.contextmanager
def open_stdlib_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends: one that does not block, and is full, and one that waits at most until a test must fail."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                ours.send(bytes(65536))
        theirs.settimeout(PATIENCE_SECONDS)
        yield ours, theirs


def read_to_end(sock: socket.socket) -> None:
    """Read until the end; fails after a while where no end comes."""
    while sock.recv(1 << 20):
        pass


def closings(sock: socket.socket) -> list[Callable[[], None]]:
    """Ways to close a socket that tell nobody."""
    return [sock.close, lambda: os.close(sock.detach())]


@needs_full_buffers
@pytest.mark.parametrize("way", range(2))
@pytest.mark.parametrize("wait", WAITS)
async def test_a_close_after_a_cancelled_wait_closes(wait: str, way: int, mode: str) -> None:
    """The peer of a socket whose readiness wait was cancelled sees the end as the socket is closed, with no tick."""
    with open_stdlib_pair() as (ours, theirs):
        with trio.move_on_after(0.01):
            await getattr(trio.lowlevel, wait)(ours)
        closings(ours)[way]()
        read_to_end(theirs)


@needs_full_buffers
@pytest.mark.parametrize("way", range(2))
@pytest.mark.parametrize("wait", WAITS)
async def test_a_close_under_a_wait_closes(wait: str, way: int, mode: str) -> None:
    """The peer sees the end though a task still waits for the socket; the task can be cancelled."""
    with open_stdlib_pair() as (ours, theirs):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(getattr(trio.lowlevel, wait), ours)
            await wait_all_tasks_blocked()
            closings(ours)[way]()
            read_to_end(theirs)
            nursery.cancel_scope.cancel()


async def test_a_unix_socket_closes_under_a_receive(mode: str) -> None:
    """A UNIX socket that is detached and closed while a task receives is closed for its peer."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.settimeout(PATIENCE_SECONDS)
        sock = trio.socket.from_stdlib_socket(ours)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sock.recv, 10)
            await wait_all_tasks_blocked()
            os.close(sock.detach())
            assert theirs.recv(1) == b""
            nursery.cancel_scope.cancel()


async def test_a_pipe_without_reader_takes_nothing(mode: str) -> None:
    """The reading end of a pipe is closed after a cancelled wait: a write fails at once."""
    read, write = os.pipe()
    with trio.move_on_after(0.01):
        await trio.lowlevel.wait_readable(read)
    os.close(read)
    try:
        with pytest.raises(BrokenPipeError):
            os.write(write, b"x")
    finally:
        os.close(write)


async def test_the_port_of_a_cancelled_connect_is_free(mode: str) -> None:
    """A connect that was cancelled leaves nothing behind: another socket can have its address at once."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        with contextlib.ExitStack() as filling:
            for _ in range(3):  # the queue of a listener that accepts nothing is full: the next connect waits
                one = filling.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
            sock = trio.socket.socket()
            await sock.bind(("127.0.0.1", 0))
            address = sock.getsockname()
            with trio.move_on_after(0.01) as scope:
                await sock.connect(listener.getsockname())
            assert scope.cancelled_caught
            sock.close()
            with socket.socket() as again:
                again.bind(address)


async def test_a_cancelled_connect_closes_a_socket_that_receives(mode: str) -> None:
    """Trio closes a socket whose connect is cancelled: the peer sees the end, and who receives is told."""
    sock, peer = await tcp_pair()
    with sock, peer, trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await sock.recv(10)

            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            with trio.CancelScope() as scope:
                scope.cancel()
                await sock.connect(peer.getsockname())
            assert scope.cancelled_caught
        assert await peer.recv(10) == b""


async def test_a_file_that_takes_a_number_is_waited_for(mode: str) -> None:
    """A number whose file was closed under a wait, and that a new file has: the next wait is for the new file."""
    first, second = socket.socketpair(), socket.socketpair()
    with first[1], second[0], second[1]:
        number = first[0].detach()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.wait_readable, number)
            await wait_all_tasks_blocked()
            os.dup2(second[0].fileno(), number)
            nursery.cancel_scope.cancel()
        try:
            second[1].send(b"x")
            with trio.fail_after(PATIENCE_SECONDS):
                await trio.lowlevel.wait_readable(number)
        finally:
            os.close(number)


async def test_both_waits_end_with_the_error_of_a_closed_number(mode: str) -> None:
    """A second wait finds the number closed: both tasks get the error."""
    ours, theirs = socket.socketpair()
    number = ours.detach()
    errors = []

    async def wait() -> None:
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            await trio.lowlevel.wait_readable(number)
        errors.append(caught.value)

    with theirs, trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            os.close(number)
            with pytest.raises(OSError, match="Bad file descriptor"):
                await trio.lowlevel.wait_writable(number)
    assert len(errors) == 1


async def test_waits_for_both_directions(mode: str) -> None:
    """Two tasks wait for one socket: each goes on when its own direction is ready, and not before."""
    with open_stdlib_pair() as (ours, theirs):
        done = []

        async def wait(name: str) -> None:
            await getattr(trio.lowlevel, name)(ours)
            done.append(name)

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for name in WAITS:
                    nursery.start_soon(wait, name)
                await wait_all_tasks_blocked()
                assert done == []
                theirs.send(b"x")
                while not done:
                    await wait_all_tasks_blocked(0.001)
                assert done == ["wait_readable"]
                while "wait_writable" not in done:
                    theirs.recv(1 << 20)
                    await wait_all_tasks_blocked(0.001)


# ----------------------------------------------------------------------------------------------------------
# What is no descriptor
# ----------------------------------------------------------------------------------------------------------


class WithoutNumber:
    """Has a ``fileno()`` that says no number."""

    def fileno(self) -> Any:
        """No number."""
        return "none"


def closed_socket() -> socket.socket:
    """A socket that was closed."""
    with socket.socket() as sock:
        return sock


def closed_number() -> int:
    """The number of a descriptor that was closed."""
    with socket.socket() as sock:
        return sock.fileno()


def closed_file() -> Any:
    """A file that was closed."""
    with tempfile.TemporaryFile() as file:
        return file


BAD: dict[str, Callable[[], Any]] = {
    "closed socket": closed_socket,
    "closed number": closed_number,
    "closed file": closed_file,
    "regular file": tempfile.TemporaryFile,
    "-1": lambda: -1,
    "-2": lambda: -2,
    "2**31": lambda: 1 << 31,
    "2**70": lambda: 1 << 70,
    "-2**70": lambda: -(1 << 70),
    "not closed, not a number": WithoutNumber,
    "no descriptor": object,
    "text": lambda: "x",
}


def outcome_of(run: Callable[..., object], call: str, make: Callable[[], Any]) -> tuple[type, tuple[object, ...]]:
    """The type of what a call raises, or returns, in a run of its own, and the rest of it."""

    async def main() -> tuple[type, tuple[object, ...]]:
        fd = make()
        try:
            with trio.move_on_after(1):
                waiting = getattr(trio.lowlevel, call)(fd)
                if call != "notify_closing":
                    await waiting
            return type(None), ()
        except Exception as error:
            return type(error), error.args
        finally:
            if hasattr(fd, "close"):
                fd.close()

    return run(main)  # type: ignore[return-value]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("call", [*WAITS, "notify_closing"])
def test_what_is_no_descriptor_gives_the_errors_of_trio(call: str, bad: str, rio_run: RioRun, mode: str) -> None:
    """The type of the error, and its words, are those of Trio's own manager."""
    assert outcome_of(rio_run, call, BAD[bad]) == outcome_of(trio.run, call, BAD[bad])


async def test_a_refused_wait_leaves_nothing(mode: str) -> None:
    """A wait for a closed socket is refused for what it is, as often as it is tried, and by whichever task."""
    for _ in range(2):
        for wait in WAITS:
            with pytest.raises(ValueError, match="negative"):
                await getattr(trio.lowlevel, wait)(closed_socket())
    trio.lowlevel.notify_closing(closed_socket())
