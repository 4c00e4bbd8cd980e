"""Scenarios with streams and listeners; see ``test_stream_as_stock.py``."""

from __future__ import annotations

import functools
import socket
from typing import Any

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from ..platforms import IS_WINDOWS
from .harness import fill, stdlib_pair, tcp_pair
from .trace import Trace

RESET_AT_CLOSE = b"\1\0\0\0\0\0\0\0"


@attrs.frozen
class Level:
    """Trio's own names, or trio_rio's."""

    Stream: Any
    Listener: Any
    open_tcp_stream: Any
    open_tcp_listeners: Any
    open_unix_socket: Any
    serve_tcp: Any


STOCK = Level(
    trio.SocketStream,
    trio.SocketListener,
    trio.open_tcp_stream,
    trio.open_tcp_listeners,
    trio.open_unix_socket,
    trio.serve_tcp,
)
RIO = Level(
    trio_rio.RioStream,
    trio_rio.RioListener,
    trio_rio.open_tcp_stream,
    trio_rio.open_tcp_listeners,
    trio_rio.open_unix_socket,
    trio_rio.serve_tcp,
)


async def streams(level: Level) -> tuple[Any, Any]:
    client, server = await tcp_pair()
    return level.Stream(client), level.Stream(server)


async def warm(*pair: Any) -> None:
    """Some traffic, so that a stream has found its channel."""
    for ours, theirs in (pair, pair[::-1]):
        for _ in range(2):
            await ours.send_all(b"warm")
            assert await theirs.receive_some(4) == b"warm"


async def receive_exactly(stream: Any, count: int) -> bytes:
    received = b""
    while len(received) < count:
        received += await stream.receive_some(count - len(received))
    return received


async def causes(trace: Trace, function: Any, *args: Any) -> None:
    """Call, and note the error's type, its cause, and whether it hides its context."""
    try:
        with trio.fail_after(5):
            await function(*args)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        cause = error.__cause__
        trace.note((type(error), type(cause), getattr(cause, "errno", None), error.__suppress_context__))
    else:
        trace.note("no error")


async def what_can_be_wrapped(trace: Trace, level: Level) -> None:
    """Only Trio sockets, of type SOCK_STREAM; a listener's must listen."""
    with (
        socket.socket() as plain,
        trio.socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        trio.socket.socket() as sock,
    ):
        for wrapper in (level.Stream, level.Listener):
            for bad in (plain, datagrams, None):
                try:
                    wrapper(bad)
                except (TypeError, ValueError) as error:
                    trace.note((type(error), str(error).replace("Rio", "Socket")))
        try:
            level.Listener(sock)
        except ValueError as error:
            trace.note(str(error).replace("Rio", "Socket"))
        trace.note(level.Stream(sock).socket is sock)


async def options(trace: Trace, level: Level) -> None:
    """The options that a stream sets, and setting and getting others."""
    client, server = await streams(level)
    async with client, server:
        for stream in (client, server):
            trace.note(stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
            if not IS_WINDOWS:
                trace.note(stream.getsockopt(socket.IPPROTO_TCP, 25))  # TCP_NOTSENT_LOWAT
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        trace.note(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, b"\1\0\0\0")
        trace.note(client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 4))
        for arguments in ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, None), (1, 2, b"x", 1), (1, 12345, 1)):
            try:
                client.setsockopt(*arguments)
            except (TypeError, OSError) as error:
                trace.note((type(error), getattr(error, "errno", None)))


async def sizes(trace: Trace, level: Level) -> None:
    """What a receive may be asked for."""
    client, server = await streams(level)
    async with client, server:
        for _ in range(2):
            await server.send_all(b"0123456789")
            await trace.call(client.receive_some, 3)
            await trace.call(client.receive_some, True)
            for bad in (0, -1):
                await trace.call_unchecked(client.receive_some, bad)
            await trace.call_unchecked(client.receive_some, "1")
            await trace.call_unchecked(client.receive_some, 1.5)
            await trace.call(client.receive_some, 100)
            await warm(client, server)


async def data_of_each_kind(trace: Trace, level: Level) -> None:
    """send_all takes bytes-like objects, none is empty of a checkpoint, and the rest is a TypeError."""
    client, server = await streams(level)
    async with client, server:
        for _ in range(2):
            for data in (b"bytes", bytearray(b"array"), memoryview(b"view"), b"", memoryview(b"")):
                await trace.call(client.send_all, data)
            for bad in ("text", 5, None, memoryview(b"strided")[::2]):
                await trace.call_unchecked(client.send_all, bad)
            trace.note(await receive_exactly(server, 14))
            await warm(client, server)


async def after_the_end(trace: Trace, level: Level) -> None:
    """send_eof, twice; sending after it; the peer's end again and again, and sending on."""
    client, server = await streams(level)
    async with client, server:
        await warm(client, server)
        await trace.call(client.send_eof)
        await trace.call(client.send_eof)
        await trace.call_unchecked(client.send_all, b"x")
        await trace.call_unchecked(client.send_all, b"")
        await trace.call(client.wait_send_all_might_not_block)
        for _ in range(3):
            await trace.call(server.receive_some, 10)
            await trace.call(server.receive_some)
        await trace.call(server.send_all, b"still")
        await trace.call(client.receive_some)


async def shut_down_by_its_socket(trace: Trace, level: Level) -> None:
    """A stream whose socket was shut down by other means knows of it."""
    client, server = await streams(level)
    async with client, server:
        await warm(client, server)
        client.socket.shutdown(socket.SHUT_WR)
        await trace.call_unchecked(client.send_all, b"x")
        await trace.call(client.send_eof)
        await trace.call(server.receive_some, 10)


async def after_closing(trace: Trace, level: Level) -> None:
    """Each call on a closed stream, used before or not, closed by aclose or by its socket."""
    for is_used in (False, True):
        for close_socket in (False, True):
            client, server = await streams(level)
            async with server:
                if is_used:
                    await warm(client, server)
                if close_socket:
                    client.socket.close()
                else:
                    await trace.call(client.aclose)
                await trace.call(client.aclose)
                for call, args in (
                    (client.receive_some, ()),
                    (client.receive_some, (5,)),
                    (client.send_all, (b"x",)),
                    (client.send_all, (b"",)),
                    (client.send_all, (bytearray(b"x"),)),
                    (client.send_eof, ()),
                    (client.wait_send_all_might_not_block, ()),
                ):
                    await causes(trace, call, *args)
                await trace.call(server.receive_some)


async def closing_while_others_wait(trace: Trace, level: Level) -> None:
    """A receive that waits gets ClosedResourceError when the stream is closed."""
    client, server = await streams(level)
    async with server, trio.open_nursery() as nursery:
        await warm(client, server)
        nursery.start_soon(causes, trace, client.receive_some)
        await wait_all_tasks_blocked()
        await client.aclose()


async def two_tasks_at_once(trace: Trace, level: Level) -> None:
    """A second receive is BusyResourceError; the first goes on."""
    client, server = await streams(level)
    async with client, server, trio.open_nursery() as nursery:
        await warm(client, server)
        nursery.start_soon(trace.call, client.receive_some, 1)
        await wait_all_tasks_blocked()
        await trace.call_unchecked(client.receive_some, 1)
        await server.send_all(b"x")


async def two_senders_at_once(trace: Trace, level: Level) -> None:
    """While a send is blocked, each other call of the sending side is BusyResourceError."""
    ours, theirs = stdlib_pair()
    client = level.Stream(trio.socket.from_stdlib_socket(ours))
    with theirs:
        fill(ours)
        async with client, trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, bytes(8 << 20))
            await wait_all_tasks_blocked()
            await trace.call_unchecked(client.send_all, b"x")
            await trace.call_unchecked(client.send_all, b"")
            await trace.call_unchecked(client.send_eof)
            await trace.call_unchecked(client.wait_send_all_might_not_block)
            nursery.cancel_scope.cancel()


async def reset_while_receiving(trace: Trace, level: Level) -> None:
    """A reset is BrokenResourceError, caused by the OSError."""
    for is_first in (False, True):
        ours, theirs = stdlib_pair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        async with level.Stream(trio.socket.from_stdlib_socket(ours)) as client, trio.open_nursery() as nursery:
            await client.send_all(b"x")
            if not is_first:
                theirs.send(b"y")
                await client.receive_some()
            nursery.start_soon(causes, trace, client.receive_some)
            await wait_all_tasks_blocked()
            theirs.close()


async def the_socket_was_closed_behind_its_back(trace: Trace, level: Level) -> None:
    """A descriptor that is gone is ClosedResourceError."""
    client, server = await streams(level)
    async with server:
        await warm(client, server)
        client.socket._sock.close()
        await causes(trace, client.receive_some)
        await causes(trace, client.send_all, b"x")
        client.socket.close()


async def a_cancelled_call_takes_nothing(trace: Trace, level: Level) -> None:
    """Calls in a cancelled scope; afterwards everything is where it was."""
    client, server = await streams(level)
    async with client, server:
        await warm(client, server)
        await server.send_all(b"kept")
        for call, args in ((client.receive_some, ()), (client.send_all, (b"never",)), (client.send_eof, ())):
            with trio.CancelScope() as scope:
                scope.cancel()
                await call(*args)
            trace.note(scope.cancelled_caught)
        await trace.call(client.receive_some, 10)
        await client.send_all(b"sent")
        await trace.call(server.receive_some, 10)


async def accepting(trace: Trace, level: Level) -> None:
    """Listeners of one port, connections by name and by address, and the end of the listening."""
    listeners = await level.open_tcp_listeners(0, host="127.0.0.1")
    (listener,) = listeners
    trace.note((type(listener) is level.Listener, listener.socket.getsockname()[0]))
    port = listener.socket.getsockname()[1]
    for host in ("127.0.0.1", "localhost"):
        async with await level.open_tcp_stream(host, port) as client, await listener.accept() as server:
            trace.note((type(client) is level.Stream, type(server) is level.Stream))
            trace.note(server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
            await client.send_all(b"hello")
            await trace.call(server.receive_some, 10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(causes, trace, listener.accept)
        await wait_all_tasks_blocked()
        await trace.call_unchecked(listener.accept)
        await listener.aclose()
    await causes(trace, listener.accept)
    await trace.call(listener.aclose)
    await trace.call_unchecked(level.open_tcp_stream, "127.0.0.1", port)
    await trace.call_unchecked(level.open_tcp_stream, 5, port)
    await trace.call_unchecked(level.open_tcp_listeners, "http")


async def serving(trace: Trace, level: Level) -> None:
    """serve_tcp runs a handler for each connection, and tells of its listeners."""

    async def upper(stream: Any) -> None:
        async for data in stream:
            await stream.send_all(data.upper())

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(functools.partial(level.serve_tcp, upper, 0, host="127.0.0.1"))
        trace.note([type(listener) is level.Listener for listener in listeners])
        for _ in range(3):
            async with await level.open_tcp_stream(*listeners[0].socket.getsockname()) as client:
                await client.send_all(b"some text")
                await trace.call(client.receive_some, 9)
                await client.send_eof()
                await trace.call(client.receive_some)
        nursery.cancel_scope.cancel()


async def unix_sockets(trace: Trace, level: Level) -> None:
    """A stream on a UNIX socket does what one on TCP does."""
    ours, theirs = trio.socket.socketpair()
    client, server = level.Stream(ours), level.Stream(theirs)
    async with client, server:
        await trace.call(client.send_all, b"hello")
        await trace.call(server.receive_some, 2)
        await trace.call(server.receive_some)
        await trace.call(client.send_eof)
        await trace.call(server.receive_some)
    await causes(trace, client.receive_some)
    await trace.call_unchecked(level.open_unix_socket, "/nowhere/at/all")


ALL = [
    what_can_be_wrapped,
    options,
    sizes,
    data_of_each_kind,
    after_the_end,
    shut_down_by_its_socket,
    after_closing,
    closing_while_others_wait,
    two_tasks_at_once,
    two_senders_at_once,
    reset_while_receiving,
    the_socket_was_closed_behind_its_back,
    a_cancelled_call_takes_nothing,
    accepting,
    serving,
    unix_sockets,
]
