"""One socket in two runs, with receives posted ahead in the first: what went wrong once.

What a receive took and nobody read is gone with its run. A stream goes on without a hole, or it does not go on.
"""

from __future__ import annotations

import socket
import sys
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from ..conftest import RioRun
from ..engine.harness import PATIENCE_SECONDS, stdlib_pair
from ..platforms import IS_WINDOWS

WAYS: dict[str, dict[str, Any]] = {
    "detach": {"cancellation": "detach"},
    "read-ahead-2": {"read_ahead": 2},
    "event-2-queues": {"cancellation": "detach", "notification": "event", "completion_queues": 2},
    "polled": {"cancellation": "detach", "notification": "polled"},
}

pytestmark = [
    pytest.mark.skipif(IS_WINDOWS, reason="a stdlib socket that is given to Trio goes Trio's own way there"),
    pytest.mark.usefixtures("way"),
    pytest.mark.parametrize(
        "way",
        [pytest.param(name, marks=pytest.mark.rio_config(**options)) for name, options in WAYS.items()],
        indirect=True,
    ),
]


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    """The options of the first run, by name."""
    return str(request.param)


def datagram_pair() -> tuple[socket.socket, socket.socket]:
    """Two UDP sockets on loopback; the second sends to the first."""
    ours, theirs = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    ours.bind(("127.0.0.1", 0))
    theirs.connect(ours.getsockname())
    return ours, theirs


async def adopt(sock: socket.socket) -> Any:
    """The Trio socket of a stdlib socket, of the class that it has in this run."""
    return trio.socket.from_stdlib_socket(sock)


async def post(receive: Callable[[int], Awaitable[object]]) -> None:
    """Leave a receive posted, where a cancelled one stays so."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive, 1)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def receive_in_time(sock: trio.socket.SocketType) -> bytes:
    """What comes first."""
    with trio.fail_after(PATIENCE_SECONDS):
        return await sock.recv(100)


def test_a_socket_goes_on_when_nothing_came(rio_run: RioRun) -> None:
    """A receive that was posted and took nothing leaves the socket as it was, for the next run, on stock Trio too."""
    for run in (rio_run, trio.run):
        ours, theirs = stdlib_pair()
        with theirs, rio_run(adopt, ours) as sock:
            rio_run(post, sock.recv)
            theirs.send(b"BBBB")
            assert run(receive_in_time, sock) == b"BBBB"


@pytest.mark.parametrize("make", [stdlib_pair, datagram_pair])
def test_a_socket_is_closed_with_what_nobody_read(
    rio_run: RioRun, make: Callable[[], tuple[socket.socket, socket.socket]]
) -> None:
    """What a receive took, and nobody read in its run, closes the socket, with a warning: the next run sees no hole."""
    ours, theirs = make()

    async def first() -> None:
        await post(sock.recv)
        theirs.send(b"AAAA")
        await wait_all_tasks_blocked(0.001)

    with theirs, rio_run(adopt, ours) as sock:
        with pytest.warns(ResourceWarning, match="nobody read"):
            rio_run(first)
        assert sock.fileno() == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            rio_run(receive_in_time, sock)
        with pytest.raises(OSError, match="Bad file descriptor"):
            trio.run(receive_in_time, sock)


def test_a_warning_that_is_an_error_does_not_end_the_run_otherwise(
    rio_run: RioRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where warnings are errors, that of a closed socket is reported as a finaliser's; the run has its result."""
    reported: list[BaseException | None] = []
    ours, theirs = stdlib_pair()

    async def first() -> int:
        await post(sock.recv)
        theirs.send(b"AAAA")
        await wait_all_tasks_blocked(0.001)
        return 5

    with theirs, rio_run(adopt, ours) as sock, warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setattr(sys, "unraisablehook", lambda said: reported.append(said.exc_value))
        assert rio_run(first) == 5
    assert [type(one) for one in reported] == [ResourceWarning]


def test_a_socket_is_closed_with_the_rest_of_what_was_read(rio_run: RioRun) -> None:
    """Of what a receive took, a part that nobody read closes the socket as well."""
    ours, theirs = stdlib_pair()

    async def first() -> None:
        await post(sock.recv)
        theirs.send(b"AAAA")
        assert await receive_exactly_two(sock) == b"AA"

    with theirs, rio_run(adopt, ours) as sock:
        with pytest.warns(ResourceWarning, match="nobody read"):
            rio_run(first)
        assert sock.fileno() == -1


async def receive_exactly_two(sock: trio.socket.SocketType) -> bytes:
    with trio.fail_after(PATIENCE_SECONDS):
        return await sock.recv(2)


@pytest.mark.filterwarnings("ignore:.*nobody read:ResourceWarning")
def test_what_comes_as_the_run_ends_is_no_hole(rio_run: RioRun) -> None:
    """Bytes that come as the run ends are those of the next run, or the socket is closed."""
    for _ in range(10):
        ours, theirs = stdlib_pair()

        async def first(theirs: socket.socket = theirs) -> None:
            await post(sock.recv)
            theirs.send(b"AAAA")

        with theirs, rio_run(adopt, ours) as sock:
            rio_run(first)
            if sock.fileno() != -1:
                theirs.send(b"BBBB")
                assert rio_run(receive_in_time, sock).startswith(b"AAAA")


def test_a_socket_at_its_end_stays_there(rio_run: RioRun) -> None:
    """The end of a stream that a receive met closes nothing: the next run meets it again."""
    ours, theirs = stdlib_pair()

    async def first() -> None:
        await post(sock.recv)
        theirs.close()
        await wait_all_tasks_blocked(0.001)

    with rio_run(adopt, ours) as sock:
        rio_run(first)
        assert rio_run(receive_in_time, sock) == b""


def test_a_stream_is_closed_with_what_nobody_read(rio_run: RioRun) -> None:
    """As a socket, so a RioStream: in the next run it is closed."""
    ours, theirs = stdlib_pair()

    async def first() -> None:
        await post(stream.receive_some)
        theirs.send(b"AAAA")
        await wait_all_tasks_blocked(0.001)

    async def second() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()

    with theirs:
        stream = trio_rio.RioStream(rio_run(adopt, ours))
        with pytest.warns(ResourceWarning, match="nobody read"):
            rio_run(first)
        rio_run(second)


def test_a_dropped_socket_takes_what_nobody_read_along(rio_run: RioRun) -> None:
    """A Trio socket that is dropped with bytes received ahead closes its stdlib socket: nobody reads past them."""
    ours, theirs = stdlib_pair()

    async def main() -> None:
        sock = trio.socket.from_stdlib_socket(ours)
        await post(sock.recv)
        theirs.send(b"AAAA")
        await wait_all_tasks_blocked(0.001)
        with pytest.warns(ResourceWarning):
            del sock
        await trio.lowlevel.checkpoint()

    with ours, theirs:
        rio_run(main)
        assert ours.fileno() == -1
