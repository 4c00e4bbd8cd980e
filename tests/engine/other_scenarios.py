"""Scenarios with two tasks, with datagrams, and with readiness; see ``test_as_stock.py``."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterator

import trio
from trio.testing import wait_all_tasks_blocked

from .harness import open_pair, stdlib_pair, udp_socket
from .trace import Scenarios, Trace

scenario = Scenarios()


# ----------------------------------------------------------------------------------------------------------
# Two at once
# ----------------------------------------------------------------------------------------------------------


async def busy(trace: Trace, first: Callable[[], Awaitable[object]], second: Callable[[], Awaitable[object]]) -> None:
    """Let the first call block, then make the second."""
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with contextlib.suppress(Exception):
                await first()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        with trio.move_on_after(0.05) as scope:
            await trace.call_unchecked(second)
        trace.note(scope.cancelled_caught)
        nursery.cancel_scope.cancel()


@scenario
async def two_readers(trace: Trace) -> None:
    """Two receives, or a receive and a readiness wait, in any order: the second is refused."""
    for is_used in (False, True):
        async with open_pair() as (client, server):
            if is_used:
                await client.send(b"x")
                await server.send(b"x")
                await client.recv(1)
            readers: list[Callable[[], Awaitable[object]]] = [
                lambda: client.recv(1),
                lambda: client.recv_into(bytearray(1)),
                lambda: client.recvfrom(1),
                functools.partial(trio.lowlevel.wait_readable, client),
                lambda: client.recv(1, socket.MSG_PEEK),
            ]
            for first in readers:
                for second in readers:
                    await busy(trace, first, second)


@scenario
async def a_reader_and_a_writer(trace: Trace) -> None:
    """A receive and a wait for writability do not disturb each other."""
    async with open_pair() as (client, _):
        await busy(trace, lambda: client.recv(1), client.wait_writable)
        await busy(trace, lambda: client.recv(1), lambda: client.send(b"x"))


@scenario
async def two_accepts(trace: Trace) -> None:
    """Two tasks that accept on one listener: the second is refused."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        await busy(trace, listener.accept, listener.accept)
        await busy(trace, listener.accept, functools.partial(trio.lowlevel.wait_readable, listener))


@scenario
async def readers_of_two_sockets(trace: Trace) -> None:
    """Receives on two sockets of one connection do not exclude each other."""
    async with open_pair() as (client, _):
        with client.dup() as other:
            await busy(trace, lambda: client.recv(1), lambda: other.recv(1))


# ----------------------------------------------------------------------------------------------------------
# Datagrams
# ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def note_too_long(trace: Trace) -> Iterator[None]:
    """Windows says that a datagram was longer than the buffer, with an error."""
    try:
        yield
    except OSError as error:
        trace.note(error.errno)


@scenario
async def datagrams(trace: Trace) -> None:
    """One datagram per call, cut off at the buffer, empty ones included; the rest of a long one is gone."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with await udp_socket(family) as sender, await udp_socket(family) as receiver:
            address = receiver.getsockname()
            for data in (b"one", b"", b"three", b"four", b"five", b"six"):
                await trace.call(sender.sendto, data, address)
            for size in (10, 10, 2):
                for flags in (socket.MSG_PEEK, 0):
                    with note_too_long(trace):
                        data, source = await receiver.recvfrom(size, flags)
                        trace.note((data, source == sender.getsockname()))
            buffer = bytearray(3)
            with note_too_long(trace):
                trace.note((await receiver.recvfrom_into(buffer))[0])
                trace.note(bytes(buffer))
            buffer = bytearray(3)
            await trace.call(receiver.recv, 10)
            await trace.call(receiver.recv_into, buffer)
            trace.note(bytes(buffer))


@scenario.not_on_windows("sockets have no recvmsg there")
async def scattered_datagrams(trace: Trace) -> None:
    """recvmsg and recvmsg_into give one datagram with its flags."""
    with await udp_socket() as sender, await udp_socket() as receiver:
        for data in (b"first", b"second", b"third"):
            await sender.sendto(data, receiver.getsockname())
        trace.note((await receiver.recvmsg(100))[:3])
        trace.note((await receiver.recvmsg(2))[:3])
        buffers = [bytearray(2), bytearray(9)]
        trace.note((await receiver.recvmsg_into(buffers))[:3])
        trace.note(buffers)


@scenario
async def datagrams_to_names(trace: Trace) -> None:
    """sendto takes names, refuses what is no address, and keeps MSG_MORE."""
    with await udp_socket() as sender, await udp_socket() as receiver:
        port = receiver.getsockname()[1]
        await trace.call(sender.sendto, b"by name", ("localhost", port))
        await trace.call(receiver.recv, 100)
        await trace.call(sender.sendto, b"one ", getattr(socket, "MSG_MORE", 0), ("127.0.0.1", port))
        await trace.call(sender.sendto, b"datagram", 0, ("127.0.0.1", port))
        await trace.call(receiver.recv, 100)
        for address in (
            ("127.0.0.1", -1),
            ("127.0.0.1", 1 << 20),
            ("127.0.0.1",),
            ("::1", port),
            ("127.0.0.1", "http"),
            "127.0.0.1",
            None,
            5,
            (None, port),
            ["127.0.0.1", port],
        ):
            await trace.call_unchecked(sender.sendto, b"x", address)
        await trace.call_unchecked(sender.sendto, b"x")
        await trace.call_unchecked(sender.sendto, "text", ("127.0.0.1", port))
        await trace.call_unchecked(sender.sendto, b"", ("127.0.0.1", port))


@scenario.late
async def connected_datagrams(trace: Trace) -> None:
    """A connected UDP socket sends without an address; a port that nobody has is an error of a later call."""
    with await udp_socket() as receiver, trio.socket.socket(type=socket.SOCK_DGRAM) as sender:
        await sender.connect(receiver.getsockname())
        await trace.call(sender.send, b"hello")
        await trace.call(receiver.recv, 10)
        await receiver.sendto(b"and back", sender.getsockname())
        await trace.call(sender.recv, 10)
        await trace.call(sender.send, b"")
        await trace.call(receiver.recv, 10)
        receiver.close()
        await trace.call(sender.send, b"nobody")
        await trace.call(sender.recv, 10)


@scenario.late
async def datagrams_too_long(trace: Trace) -> None:
    """A datagram longer than UDP allows is refused, and the next one goes."""
    with await udp_socket() as sender, await udp_socket() as receiver:
        address = receiver.getsockname()
        await trace.call_unchecked(sender.sendto, bytes(65508), address)
        await trace.call_unchecked(sender.sendto, bytes(65507), address)
        trace.note(len(await receiver.recv(1 << 20)))


# ----------------------------------------------------------------------------------------------------------
# Readiness
# ----------------------------------------------------------------------------------------------------------


@scenario
async def readability(trace: Trace) -> None:
    """is_readable and wait_readable say whether there is something, before and after receives."""
    async with open_pair() as (client, server):
        for _ in range(2):
            trace.note(client.is_readable())
            await server.send(b"ab")
            await trace.call(trio.lowlevel.wait_readable, client)
            trace.note(client.is_readable())
            await trace.call(client.recv, 1)
            trace.note(client.is_readable())
            await trace.call(client.recv, 1)
        server.close()
        await trace.call(trio.lowlevel.wait_readable, client)
        trace.note(client.is_readable())
        await trace.call(client.recv, 1)
        trace.note(client.is_readable())


@scenario.not_on_windows("only sockets can be waited for there")
async def waiting_for_files(trace: Trace) -> None:
    """Files that are always ready are refused with EPERM, numbers that are none with EBADF."""
    with tempfile.TemporaryFile() as file:
        null = os.open(os.devnull, os.O_RDONLY)
        for wait in (trio.lowlevel.wait_readable, trio.lowlevel.wait_writable):
            await trace.call_unchecked(wait, file.fileno())
            await trace.call_unchecked(wait, file)
            await trace.call_unchecked(wait, null)
            await trace.call_unchecked(wait, 99_999)
            await trace.call_unchecked(wait, "x")
        os.close(null)


@scenario
async def a_number_that_is_used_again(trace: Trace) -> None:
    """A descriptor that is closed and opened again is a new file, for waits and for receives."""
    for _ in range(5):
        ours, theirs = stdlib_pair()
        with trio.socket.from_stdlib_socket(ours) as client, theirs:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trace.call, trio.lowlevel.wait_readable, client)
                await wait_all_tasks_blocked()
                theirs.send(b"x")
            await trace.call(client.recv, 10)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trace.call, client.recv, 10)
                await wait_all_tasks_blocked()
                client.close()


@scenario
async def a_close_that_was_not_announced(trace: Trace) -> None:
    """A stdlib socket closed behind our back: a receive that waits stays cancellable."""
    ours, theirs = stdlib_pair()
    sock = trio.socket.from_stdlib_socket(ours)
    with theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trace.call, sock.recv, 10)
            await wait_all_tasks_blocked()
            ours.close()
            await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
    async with open_pair() as (client, server):
        await server.send(b"next")
        await trace.call(client.recv, 10)
        await trace.call(sock.recv, 10)
