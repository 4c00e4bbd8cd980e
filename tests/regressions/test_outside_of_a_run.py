"""Calls where no task of the run can make them: after it, in another thread, in the host of a guest run.

Some raised AttributeError, and a close in another thread ended requests there.
"""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import outcome
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from ..conftest import RioRun
from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, stdlib_pair
from ..platforms import IS_WINDOWS

Calls = dict[str, Callable[[], Any]]


async def used_things() -> tuple[Calls, Callable[[], object]]:
    """Calls of everything that has been used in this run, by name; and what closes all of it."""
    ours, theirs = stdlib_pair()
    sock = trio.socket.from_stdlib_socket(ours)
    theirs.send(b"x")
    assert await sock.recv(1) == b"x"
    stream = trio_rio.RioStream(sock)
    await stream.send_all(b"x")
    datagrams = trio.socket.socket(type=socket.SOCK_DGRAM)
    await datagrams.bind(("127.0.0.1", 0))
    address = datagrams.getsockname()
    await datagrams.sendto(b"x", address)
    assert await datagrams.recvfrom(1) == (b"x", address)
    channel = await trio_rio.open_datagram_channel(("127.0.0.1", 0))
    await channel.send(b"x", channel.socket.getsockname())
    await channel.receive()
    listener = trio_rio.RioListener((await trio.open_tcp_listeners(0, host="127.0.0.1"))[0].socket)
    calls: Calls = {
        "recv": lambda: sock.recv(1),
        "recv_into": lambda: sock.recv_into(bytearray(1)),
        "recvfrom": lambda: sock.recvfrom(1),
        "recvfrom_into": lambda: sock.recvfrom_into(bytearray(1)),
        "send": lambda: sock.send(b"x"),
        "wait_writable": sock.wait_writable,
        "recvfrom of datagrams": lambda: datagrams.recvfrom(1),
        "recv of datagrams": lambda: datagrams.recv(1),
        "sendto": lambda: datagrams.sendto(b"x", address),
        "receive_some": stream.receive_some,
        "send_all": lambda: stream.send_all(b"x"),
        "wait_send_all_might_not_block": stream.wait_send_all_might_not_block,
        "anext": stream.__anext__,
        "receive_lease": lambda: stream.receive_lease().__aenter__(),
        "receive": channel.receive,
        "receive_many": channel.receive_many,
        "channel.send": lambda: channel.send(b"x", address),
        "send_many": lambda: channel.send_many([(b"x", address)]),
        "send_many of none": lambda: channel.send_many([]),
        "channel.receive_lease": lambda: channel.receive_lease().__aenter__(),
        "accept": listener.accept,
        "open_tcp_stream": lambda: trio_rio.open_tcp_stream("127.0.0.1", 1),
        "open_datagram_channel": trio_rio.open_datagram_channel,
        "open_tcp_listeners": lambda: trio_rio.open_tcp_listeners(0),
    }
    if hasattr(sock, "recvmsg"):
        calls["recvmsg"] = lambda: sock.recvmsg(1)
    if hasattr(sock, "sendmsg"):
        calls["sendmsg"] = lambda: sock.sendmsg([b"x"])

    def close() -> None:
        inner: list[Any] = [datagrams, channel.socket, listener.socket]
        for one in (theirs, ours, *(of_trio._sock for of_trio in inner)):
            one.close()

    calls["aclose"] = stream.aclose
    calls["channel.aclose"] = channel.aclose
    calls["close"] = sock.close
    return calls, close


def outcomes(calls: Calls) -> dict[str, Any]:
    """What each call raises, or makes of its first step."""
    found: dict[str, Any] = {}
    for name, call in calls.items():
        try:
            coroutine = call()
            if isinstance(coroutine, Coroutine):  # of Python or of C
                try:
                    found[name] = coroutine.send(None)
                finally:
                    coroutine.close()
        except BaseException as error:
            found[name] = type(error)
    return found


def test_after_a_run_on_stock_trio() -> None:
    """Each call raises RuntimeError once the run is over, on stock Trio too."""
    calls, close = trio.run(used_things)
    found = outcomes(calls)
    close()
    assert found == dict.fromkeys(calls, RuntimeError)


class TestBothModes:
    """Where one request can be cancelled, and where it is left posted."""

    pytestmark = BOTH_MODES

    def test_after_a_run(self, mode: str, rio_run: RioRun) -> None:
        """Each call raises RuntimeError once the run is over."""
        calls, close = rio_run(used_things)
        found = outcomes(calls)
        close()
        assert found == dict.fromkeys(calls, RuntimeError)

    async def test_in_another_thread(self, mode: str) -> None:
        """Each call raises RuntimeError in a thread without a run, and changes nothing."""
        calls, close = await used_things()
        found: dict[str, Any] = {}
        thread = threading.Thread(target=lambda: found.update(outcomes(calls)))
        thread.start()
        thread.join()
        assert found == dict.fromkeys(calls, RuntimeError)
        with trio.fail_after(PATIENCE_SECONDS):
            await calls["channel.send"]()
            await calls["send_all"]()
            await calls["channel.aclose"]()
            await calls["aclose"]()
        close()

    @pytest.mark.skipif(IS_WINDOWS, reason="a stdlib socket that is given to Trio goes Trio's own way there")
    async def test_a_close_in_another_run(self, mode: str) -> None:
        """A socket that another thread's run closes is closed: the peer sees the end, and who waits is told."""
        ours, theirs = stdlib_pair()
        theirs.settimeout(PATIENCE_SECONDS)
        sock = trio.socket.from_stdlib_socket(ours)

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await sock.recv(1)

        async def close() -> None:
            sock.close()

        with theirs, trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                await trio.to_thread.run_sync(trio.run, close)
            assert theirs.recv(1) == b""


@pytest.mark.parametrize("mode", ["request", "detach"])
def test_in_the_host_of_a_guest_run(mode: Any, rio_provider: str) -> None:
    """Each call that needs a task raises RuntimeError between two ticks of a guest run."""
    todo: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    results: list[outcome.Outcome[Any]] = []

    async def main() -> None:
        calls, close = await used_things()
        # A close works there; and where there is no name to look up, a socket is made without a task.
        for name in ("aclose", "channel.aclose", "close", "open_datagram_channel"):
            del calls[name]
        found: dict[str, Any] = {}
        is_done = trio.Event()

        def call() -> None:
            found.update(outcomes(calls))
            token.run_sync_soon(is_done.set)

        token = trio.lowlevel.current_trio_token()
        todo.put(call)
        await is_done.wait()
        assert found == dict.fromkeys(calls, RuntimeError)
        close()

    trio_rio.start_guest_run(
        main,
        run_sync_soon_threadsafe=todo.put,
        done_callback=results.append,
        config=trio_rio.RioConfig(provider=rio_provider, cancellation=mode),
    )
    while not results:
        todo.get(timeout=PATIENCE_SECONDS)()
    results[0].unwrap()
