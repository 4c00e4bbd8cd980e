"""serve_tcp: every connection is served once, none is left behind, and each has what a stream has."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio import RioListener, RioStream

from .harness import BOTH_MODES, PATIENCE_SECONDS

pytestmark = BOTH_MODES

Handler = Callable[[RioStream], Awaitable[object]]
MANY = 100  # more than one wake-up takes


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[trio.Nursery, RioListener]]:
    """A server for the time of the block, and its listener."""
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio_rio.serve_tcp, handler, 0, host="127.0.0.1"))
            yield nursery, listener
            nursery.cancel_scope.cancel()


def connect(listener: RioListener, count: int, stack: contextlib.ExitStack) -> list[socket.socket]:
    """So many connections, which wait to be accepted."""
    address = listener.socket.getsockname()
    return [stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS)) for _ in range(count)]


async def test_each_connection_is_served_once() -> None:
    """However many wait when the server wakes up."""
    served: list[object] = []
    all_served = trio.Event()

    async def note(stream: RioStream) -> None:
        served.append(stream.socket.getpeername())
        if len(served) == MANY:
            all_served.set()

    async with serving(note) as (_, listener):
        with contextlib.ExitStack() as stack:
            clients = connect(listener, MANY, stack)
            await all_served.wait()
            await wait_all_tasks_blocked()
            assert sorted(map(str, served)) == sorted(str(client.getsockname()) for client in clients)


async def test_a_stream_is_closed_when_its_handler_returns() -> None:
    """The peer sees the end."""

    async def return_at_once(stream: RioStream) -> None:
        pass

    async with serving(return_at_once) as (_, listener):
        with contextlib.ExitStack() as stack:
            [client] = connect(listener, 1, stack)
            assert await trio.to_thread.run_sync(client.recv, 1) == b""


async def test_a_handler_may_close_its_stream() -> None:
    """And do something else after that."""
    done = trio.Event()

    async def close(stream: RioStream) -> None:
        await stream.aclose()
        await trio.lowlevel.checkpoint()
        done.set()

    async with serving(close) as (_, listener):
        with contextlib.ExitStack() as stack:
            connect(listener, 1, stack)
            await done.wait()


async def test_streams_have_their_options() -> None:
    """As those that RioListener.accept() gives: TCP_NODELAY, and TCP_NOTSENT_LOWAT where there is one."""
    found: list[list[int]] = []
    all_found = trio.Event()
    options = [name for name in ("TCP_NODELAY", "TCP_NOTSENT_LOWAT") if hasattr(trio.socket, name)]

    async def look(stream: RioStream) -> None:
        found.append([int(stream.getsockopt(socket.IPPROTO_TCP, getattr(trio.socket, name))) for name in options])
        if len(found) == 3:
            all_found.set()

    async with serving(look) as (_, listener):
        with contextlib.ExitStack() as stack:
            connect(listener, 3, stack)
            await all_found.wait()
    assert all(one == found[0] for one in found)
    assert found[0][0] != 0
    assert found[0][1:] in ([], [16384])


@pytest.mark.first_names
async def test_rio_serves_each_of_them() -> None:
    """Also the last of those that came together, which nothing else may hold."""
    open_streams: list[RioStream] = []

    async def echo(stream: RioStream) -> None:
        open_streams.append(stream)
        while data := await stream.receive_some():
            await stream.send_all(data)

    async with serving(echo) as (_, listener):
        with contextlib.ExitStack() as stack:
            for client in connect(listener, 5, stack):
                client.sendall(b"x")
                assert await trio.to_thread.run_sync(client.recv, 1) == b"x"
            assert trio_rio.current_statistics().sockets_open == 5


async def test_a_cancelled_server_leaves_nothing_behind() -> None:
    """Whatever waits at that moment; descriptors and requests are counted after each test."""
    for ticks in range(5):
        with contextlib.ExitStack() as stack:
            async with serving(RioStream.receive_some) as (nursery, listener):
                connect(listener, MANY, stack)
                for _ in range(ticks):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()


async def test_an_error_of_a_handler_ends_the_server() -> None:
    """As with Trio's: it is the program's to catch."""

    async def fail(stream: RioStream) -> None:
        raise ValueError("no")

    with pytest.RaisesGroup(ValueError, flatten_subgroups=True), contextlib.ExitStack() as stack:
        async with serving(fail) as (_, listener):
            connect(listener, 1, stack)
            await trio.sleep_forever()


async def test_a_closed_listener_ends_the_server() -> None:
    """Closed by another task: ClosedResourceError, as with Trio's."""
    with pytest.RaisesGroup(trio.ClosedResourceError, flatten_subgroups=True):
        async with serving(RioStream.receive_some) as (_, listener):
            await wait_all_tasks_blocked()
            await listener.aclose()
            await trio.sleep_forever()


async def test_a_nursery_that_is_over_leaves_no_stream_open() -> None:
    """start_soon() of a closed nursery raises; the connection that it was for is closed."""
    async with trio.open_nursery() as over:
        pass
    with contextlib.ExitStack() as stack, trio.fail_after(PATIENCE_SECONDS):
        with pytest.RaisesGroup(RuntimeError, flatten_subgroups=True):
            async with trio.open_nursery() as nursery:
                serve = partial(trio_rio.serve_tcp, RioStream.receive_some, 0, host="127.0.0.1", handler_nursery=over)
                [listener] = await nursery.start(serve)
                [client] = connect(listener, 1, stack)
        assert client.recv(1) == b""
