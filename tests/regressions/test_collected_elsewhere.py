"""What was dropped, and collected by the garbage collector in whatever thread: what went wrong once.

Requests stayed posted that nobody knew, with their memory and the descriptor; the end of the run waited for them.
"""

from __future__ import annotations

import contextlib
import gc
import queue
import socket
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import outcome
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio.testing import current_ledger, ledgers_of_runs

from ..conftest import RioRun
from ..engine.datagrams import stdlib_peer
from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, WAYS_OPTIONS, settled, stdlib_pair, tcp_pair
from ..platforms import IS_WINDOWS

Collect = Callable[[], object]


def collect_in_a_thread() -> None:
    """Let another thread collect, and wait for it."""
    thread = threading.Thread(target=gc.collect)
    thread.start()
    thread.join()


COLLECTS = pytest.mark.parametrize(
    "collect", [pytest.param(gc.collect, id="in-the-run"), pytest.param(collect_in_a_thread, id="in-a-thread")]
)


@pytest.fixture(autouse=True)
def uncollected() -> Iterator[None]:
    """Nobody else collects what a test drops."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def drop(*things: object) -> None:
    """Make things garbage, for the collector to find once the caller has forgotten them."""
    cycle: list[object] = [*things]
    cycle.append(cycle)


@contextlib.asynccontextmanager
async def warned(count: int) -> AsyncIterator[None]:
    """The block drops so many things that are to be closed: each is reported once, soon."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        with trio.fail_after(PATIENCE_SECONDS):
            while len(caught) < count:  # noqa: ASYNC110  # nothing tells of a warning
                await trio.sleep(0.001)
        await wait_all_tasks_blocked(0.001)
    assert [warning.category for warning in caught] == [ResourceWarning] * count
    current_ledger().assert_balanced()


async def nothing_is_left() -> None:
    books = await settled()
    assert (books.sockets_open, books.credits_charged, books.requests_untaken) == (0, 0, 0)


async def used_channel() -> tuple[trio_rio.DatagramChannel, Any]:
    channel = await trio_rio.open_datagram_channel(("127.0.0.1", 0), receives_posted=2)
    address = channel.socket.getsockname()
    with stdlib_peer() as peer:
        peer.sendto(b"x", address)
        await channel.receive()
    return channel, address


async def used_socket() -> tuple[trio.socket.SocketType, socket.socket]:
    """A Trio socket on which a receive was cancelled, so that one may stay posted; and its peer."""
    ours, theirs = stdlib_pair()
    theirs.settimeout(PATIENCE_SECONDS)
    sock = trio.socket.from_stdlib_socket(ours)
    with trio.move_on_after(0.01):
        await sock.recv(1)
    await trio.lowlevel.checkpoint()  # Trio holds what a task was resumed with during its step
    return sock, theirs


class TestBothModes:
    """Where one request can be cancelled, and where it is left posted."""

    pytestmark = BOTH_MODES

    @COLLECTS
    async def test_a_datagram_channel(self, collect: Collect, mode: str) -> None:
        """A channel that is collected ends its requests and gives its address free, in whatever thread."""
        channel, address = await used_channel()
        async with warned(1):
            drop(channel)
            del channel
            collect()
        await nothing_is_left()
        with socket.socket(type=socket.SOCK_DGRAM) as other:
            other.bind(address)

    @pytest.mark.parametrize("is_at_eof", [False, True], ids=["quiet", "ended"])
    async def test_a_connection_on_which_nothing_is_posted(self, is_at_eof: bool, mode: str) -> None:
        """A socket that is dropped when its last receive has ended is closed at once, without a collection."""
        sock, theirs = await used_socket()
        with theirs:
            theirs.send(b"x")
            if is_at_eof:
                theirs.shutdown(socket.SHUT_WR)
            assert await sock.recv(1) == b"x"
            await wait_all_tasks_blocked(0.001)
            gc.collect()
            gc.disable()
            try:
                async with warned(1):
                    del sock
                assert theirs.recv(1) == b""
            finally:
                gc.enable()

    @COLLECTS
    @pytest.mark.parametrize("is_stream", [False, True], ids=["socket", "stream"])
    async def test_a_connection(self, is_stream: bool, collect: Collect, mode: str) -> None:
        """A socket, or a stream, that is collected is closed: its peer sees the end."""
        sock, theirs = await used_socket()
        thing: object = trio_rio.RioStream(sock) if is_stream else sock
        with theirs:
            async with warned(1):
                drop(thing, sock)
                del thing, sock
                collect()
            assert theirs.recv(1) == b""
        await nothing_is_left()

    @COLLECTS
    async def test_a_connection_with_unread_bytes(self, collect: Collect, mode: str) -> None:
        """A socket that is collected is closed, whatever has come for it."""
        sock, theirs = await used_socket()
        with theirs:
            theirs.sendall(b"never read")
            await wait_all_tasks_blocked(0.01)
            async with warned(1):
                drop(sock)
                del sock
                collect()
            with contextlib.suppress(ConnectionResetError):
                assert theirs.recv(1) == b""
        await nothing_is_left()

    @COLLECTS
    async def test_a_lease(self, collect: Collect, mode: str) -> None:
        """Memory that was lent comes back when its lease is collected, and a task that waits for it goes on."""
        sock, theirs = await used_socket()
        stream = trio_rio.RioStream(sock)
        leases = trio_rio._engine.current.engine_of_run().leases
        with theirs:
            async with stream, trio.open_nursery() as nursery:
                theirs.sendall(b"x")
                lease = stream.receive_lease()
                await lease.__aenter__()
                leases.bytes_max = leases.bytes_lent
                nursery.start_soon(leases.wait_for_room)
                await wait_all_tasks_blocked()
                async with warned(1):
                    drop(lease)
                    del lease
                    collect()
            assert not leases.bytes_lent
            assert not leases.held()
            assert current_ledger().requests_leased == 0

    @COLLECTS
    async def test_a_lease_of_datagrams(self, collect: Collect, mode: str) -> None:
        """Slots that were lent get receives again when their lease is collected."""
        channel, address = await used_channel()
        with stdlib_peer() as peer:
            async with channel:
                peer.sendto(b"x", address)
                lease = channel.receive_lease()
                await lease.__aenter__()
                async with warned(1):
                    drop(lease)
                    del lease
                    collect()
                peer.sendto(b"y", address)
                assert (await channel.receive())[0] == b"y"
                with trio.move_on_after(0.01):
                    await channel.receive()
                statistics = channel.statistics()
                assert statistics.provider is None or statistics.receives_posted == 2


@pytest.mark.parametrize("mode", ["request", "detach"])
@COLLECTS
def test_at_the_end_of_a_run(collect: Collect, mode: Any, rio_provider: str) -> None:
    """What is collected in the last step of the main task is ended with the run, and reported."""

    async def main() -> None:
        channel, _ = await used_channel()
        sock, theirs = await used_socket()
        kept.append(theirs)
        drop(channel, sock)
        del channel, sock
        collect()

    kept: list[socket.socket] = []
    with warnings.catch_warnings(record=True) as caught, ledgers_of_runs() as ledgers:
        warnings.simplefilter("always")
        trio_rio.run(main, config=trio_rio.RioConfig(provider=rio_provider, cancellation=mode))
    assert [warning.category for warning in caught] == [ResourceWarning] * 2
    assert ledgers[0].problems() == []
    with kept.pop() as theirs:
        assert theirs.recv(1) == b""


@COLLECTS
def test_after_a_run(collect: Collect, rio_run: RioRun) -> None:
    """What is collected when its run is over is closed and reported, and nothing else happens."""
    kept: list[object] = []

    async def main() -> socket.socket:
        channel, _ = await used_channel()
        sock, theirs = await used_socket()
        kept.extend((channel, sock))
        return theirs

    with rio_run(main) as theirs, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drop(*kept)
        kept.clear()
        collect()
        assert theirs.recv(1) == b""
    # On Windows the end of the run has closed the channel's socket: nothing else ends its receives.
    assert [warning.category for warning in caught] == [ResourceWarning] * (1 if IS_WINDOWS else 2)


@pytest.mark.parametrize("mode", ["request", "detach"])
@COLLECTS
def test_in_the_host_of_a_guest_run(collect: Collect, mode: Any, rio_provider: str) -> None:
    """What is collected between two ticks of a guest run is ended by the run."""
    todo: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    results: list[outcome.Outcome[Any]] = []

    async def main() -> None:
        things: list[object] = []
        async with warned(2):
            channel, _ = await used_channel()
            sock, theirs = await used_socket()
            things += [channel, sock]
            del channel, sock
            is_done = trio.Event()

            def forget() -> None:
                drop(*things)
                things.clear()
                collect()
                trio_token.run_sync_soon(is_done.set)

            trio_token = trio.lowlevel.current_trio_token()
            todo.put(forget)
            await is_done.wait()
        with theirs:
            assert theirs.recv(1) == b""

    trio_rio.start_guest_run(
        main,
        run_sync_soon_threadsafe=todo.put,
        done_callback=results.append,
        config=trio_rio.RioConfig(provider=rio_provider, cancellation=mode),
    )
    while not results:
        todo.get(timeout=PATIENCE_SECONDS)()
    results[0].unwrap()


@pytest.mark.parametrize(
    "way", [pytest.param(name, marks=pytest.mark.rio_config(**options)) for name, options in WAYS_OPTIONS.items()]
)
@pytest.mark.rio_config(cancellation="detach")
async def test_in_each_way(way: str) -> None:
    """A run that waits in any way does what another thread leaves to it."""
    channel, _ = await used_channel()
    sock, theirs = await used_socket()
    with theirs:
        async with warned(2):
            drop(channel, sock)
            del channel, sock
            await trio.to_thread.run_sync(gc.collect)
        assert theirs.recv(1) == b""
    await nothing_is_left()


@pytest.mark.rio_config(cancellation="detach")
async def test_one_of_two_trio_sockets() -> None:
    """A Trio socket that is dropped closes nothing while another one has its stdlib socket."""
    sock, theirs = await used_socket()
    other = trio.socket.from_stdlib_socket(sock._sock)  # type: ignore[attr-defined]
    with theirs, other:
        with trio.move_on_after(0.01):
            await other.recv(1)
        drop(sock)
        del sock
        collect_in_a_thread()
        await wait_all_tasks_blocked(0.01)
        theirs.sendall(b"x")
        with trio.fail_after(PATIENCE_SECONDS):
            assert await other.recv(1) == b"x"


async def test_a_warning_that_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in what a finaliser left goes to sys.unraisablehook, the rest of it is done, and the run goes on."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda info: seen.append(info.exc_type))
    client, server = await tcp_pair()
    leftovers = trio_rio._engine.current.engine_of_run().leftovers
    with client, server:
        await client.send(b"x")
        await server.recv(1)
        is_done = trio.Event()

        def fail() -> None:
            raise ResourceWarning("unclosed")

        def leave() -> None:
            leftovers.do_or_leave(fail)
            leftovers.do_or_leave(is_done.set)

        await trio.to_thread.run_sync(leave)
        with trio.fail_after(PATIENCE_SECONDS):
            await is_done.wait()
    assert seen == [ResourceWarning]
