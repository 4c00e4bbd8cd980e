"""Scenarios with TCP sockets; see ``test_as_stock.py``."""

from __future__ import annotations

import array
import socket

import trio
from trio.testing import wait_all_tasks_blocked

from ..platforms import HAS_RECVMSG, RESET_AT_CLOSE
from .harness import fill, open_pair, receive_all, stdlib_pair
from .trace import Scenarios, Trace

scenario = Scenarios()


# ----------------------------------------------------------------------------------------------------------
# Receiving and sending
# ----------------------------------------------------------------------------------------------------------


@scenario
async def receiving_in_all_ways(trace: Trace) -> None:
    """recv, recv_into, recvfrom, recvfrom_into, recvmsg, recvmsg_into on a stream."""
    async with open_pair() as (client, server):
        for _ in range(2):  # in the second round the socket has a channel
            await server.send(b"0123456789")
            await trace.call(client.recv, 3)
            buffer = bytearray(10)
            await trace.call(client.recv_into, buffer, 2)
            trace.note(bytes(buffer))
            await trace.call(client.recv_into, memoryview(buffer)[5:6])
            trace.note(bytes(buffer))
            # Windows has some address there, which means nothing.
            trace.note((await client.recvfrom(1))[0])
            trace.note((await client.recvfrom_into(buffer, 1))[0])
            trace.note(bytes(buffer))
            await trace.call(client.recv, 100)
        await server.send(b"abc")
        if HAS_RECVMSG:
            await trace.call(client.recvmsg, 2)
            await trace.call(client.recvmsg_into, [bytearray(1)])


@scenario
async def peeking(trace: Trace) -> None:
    """MSG_PEEK shows what the next receive gets."""
    async with open_pair() as (client, server):
        await server.send(b"look")
        await trace.call(client.recv, 2, socket.MSG_PEEK)
        await trace.call(client.recv, 10, socket.MSG_PEEK)
        await trace.call(client.recv_into, bytearray(3), 3, socket.MSG_PEEK)
        await trace.call(client.recv, 10)


@scenario
async def receiving_nothing(trace: Trace) -> None:
    """recv(0) returns at once, recv(-1) is a ValueError, and the rest is a TypeError; all are checkpoints."""
    async with open_pair() as (client, server):
        for _ in range(2):
            await trace.call(client.recv, 0)
            await trace.call(client.recv, -1)
            await trace.call(client.recv, "1")
            await trace.call(client.recv, 1.5)
            await trace.call(client.recv, None)
            await trace.call(client.recv_into, b"read-only")
            await trace.call(client.recv_into, bytearray(1), 2)
            await trace.call(client.recv_into, bytearray(1), -1)
            await trace.call(client.recv_into, 5)
            await trace.call(client.recvfrom, -1)
            await trace.call(client.recvfrom, "x")
            await trace.call(client.recvfrom_into, bytearray(2), 3)
            await server.send(b"x")
            await trace.call(client.recv, 1)
            await server.send(b"y")
            await trace.call(client.recv, True)


@scenario
async def receiving_into_an_empty_buffer(trace: Trace) -> None:
    """recv_into a buffer of no bytes returns 0 at once."""
    async with open_pair() as (client, server):
        await server.send(b"x")
        await trace.call(client.recv_into, bytearray())
        await trace.call(client.recv, 1)


@scenario
async def sending_in_all_ways(trace: Trace) -> None:
    """send takes bytes-like objects of every shape, and says how many bytes it took."""
    async with open_pair() as (client, server):
        for data in (b"bytes", bytearray(b"array"), memoryview(b"view"), memoryview(b"strided")[::2], b""):
            await trace.call(client.send, data)
        await trace.call(client.send, array.array("I", [1, 2, 3]))
        await trace.call(client.send, memoryview(array.array("I", [4, 5])).cast("B").cast("I"))
        await trace.call(client.send, "text")
        await trace.call(client.send, 5)
        await trace.call(client.send, None)
        await trace.call(client.send, b"with flags", getattr(socket, "MSG_NOSIGNAL", 0))
        if HAS_RECVMSG:
            await trace.call(client.sendmsg, [b"in ", b"parts"])
        await trace.call(client.send, b"", 0)
        client.shutdown(socket.SHUT_WR)
        trace.note(await receive_all(server))


@scenario
async def sendto_on_a_stream(trace: Trace) -> None:
    """sendto on a connected stream ignores the address, or says that it is connected."""
    async with open_pair() as (client, server):
        await trace.call(client.sendto, b"x", server.getsockname())
        await trace.call(client.sendto, b"x", 0, server.getsockname())


# ----------------------------------------------------------------------------------------------------------
# States of a connection
# ----------------------------------------------------------------------------------------------------------


@scenario.late
async def not_connected(trace: Trace) -> None:
    """Calls on sockets that are not connected, not listening, not bound."""
    with trio.socket.socket() as sock:
        await trace.call(sock.recv, 10)
        await trace.call(sock.send, b"x")
        await trace.call_unchecked(sock.accept)
        await trace.call(sock.recvfrom, 10)
    with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
        await trace.call(sock.send, b"x")


@scenario
async def closed(trace: Trace) -> None:
    """Calls on a socket that was closed, before and after it was used."""
    for is_used in (False, True):
        async with open_pair() as (client, server):
            if is_used:
                await client.send(b"x")
                await server.recv(1)
            client.close()
            await trace.call(client.recv, 10)
            await trace.call(client.recv_into, bytearray(10))
            await trace.call(client.recvfrom, 10)
            await trace.call(client.send, b"x")
            await trace.call(client.sendto, b"x", server.getsockname())
            trace.note(client.fileno())
            await trace.call(server.recv, 10)


@scenario
async def the_end_again_and_again(trace: Trace) -> None:
    """A stream that has ended says so each time, and can still be sent on."""
    async with open_pair() as (client, server):
        await server.send(b"last")
        server.shutdown(socket.SHUT_WR)
        for _ in range(4):
            await trace.call(client.recv, 10)
        await trace.call(client.send, b"still")
        await trace.call(server.recv, 10)


@scenario.late
async def reset_while_receiving(trace: Trace) -> None:
    """A reset ends a receive that waits with ECONNRESET, and then the stream is at its end."""
    ours, theirs = stdlib_pair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    with trio.socket.from_stdlib_socket(ours) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trace.call, client.recv, 10)
            await wait_all_tasks_blocked()
            theirs.close()
        await trace.call(client.recv, 10)
        await trace.call(client.send, b"x")


@scenario
async def reset_before_receiving(trace: Trace) -> None:
    """A reset that came before is told to the next call."""
    ours, theirs = stdlib_pair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    with trio.socket.from_stdlib_socket(ours) as client:
        theirs.close()
        await trace.call(client.recv, 10)
        await trace.call(client.recv, 10)


@scenario.not_on_windows("there shutdown(SD_RECEIVE) does not wake a receive that waits")
async def shutdown_of_receiving(trace: Trace) -> None:
    """shutdown(SHUT_RD) wakes a receive that waits with the end of the stream."""
    async with open_pair() as (client, _), trio.open_nursery() as nursery:
        nursery.start_soon(trace.call, client.recv, 10)
        await wait_all_tasks_blocked()
        client.shutdown(socket.SHUT_RD)
        trace.note(client.did_shutdown_SHUT_WR)


@scenario.not_on_windows("there shutdown(SD_RECEIVE) does not wake a receive that waits")
async def shutdown_of_both(trace: Trace) -> None:
    """shutdown(SHUT_RDWR) ends both directions, for both peers."""
    async with open_pair() as (client, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trace.call, client.recv, 10)
            await wait_all_tasks_blocked()
            client.shutdown(socket.SHUT_RDWR)
        trace.note(client.did_shutdown_SHUT_WR)
        await trace.call(client.send, b"x")
        await trace.call(server.recv, 10)


@scenario
async def shutdown_that_fails(trace: Trace) -> None:
    """A shutdown that fails leaves did_shutdown_SHUT_WR as it was."""
    with trio.socket.socket() as sock:
        for how in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR, 7):
            try:
                sock.shutdown(how)
            except OSError as error:
                trace.note((how, error.errno, sock.did_shutdown_SHUT_WR))


# ----------------------------------------------------------------------------------------------------------
# Back pressure
# ----------------------------------------------------------------------------------------------------------


@scenario
async def a_send_that_blocks_can_be_cancelled(trace: Trace) -> None:
    """A send that waits for a peer that does not read is cancelled, and the stream is as it was."""
    ours, theirs = stdlib_pair()
    fill(ours)
    with trio.socket.from_stdlib_socket(ours) as client, theirs:
        with trio.move_on_after(0.05) as scope:
            while True:
                await client.send(b"x" * 100_000)
        trace.note(scope.cancelled_caught)
