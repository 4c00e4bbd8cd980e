"""Sockets that others close, by notify_closing() or behind our back: what went wrong once."""

from __future__ import annotations

import os
import select
import socket
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio.testing import assert_ledger_balanced

from ..engine.datagrams import address_of
from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, fill, receive_all, settled, stdlib_pair
from ..platforms import IS_WINDOWS, needs_full_buffers

pytestmark = BOTH_MODES


@pytest.mark.parametrize("wait", ["recv", "wait_readable"])
async def test_notify_closing_tells_who_waits(wait: str, mode: str) -> None:
    """notify_closing() wakes a task that receives, or waits for readability, and then the close is seen by the peer."""
    ours, theirs = stdlib_pair()
    sock: Any = trio.socket.from_stdlib_socket(ours)
    with ours, theirs:
        with trio.move_on_after(0.01):
            await sock.recv(10)

        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                if wait == "recv":
                    await sock.recv(10)
                else:
                    await trio.lowlevel.wait_readable(sock)

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                trio.lowlevel.notify_closing(sock)
                ours.close()
        theirs.settimeout(PATIENCE_SECONDS)
        assert theirs.recv(1) == b""
        assert_ledger_balanced()


@needs_full_buffers
@pytest.mark.rio_config(send_window_bytes=1000)
async def test_notify_closing_tells_who_waits_for_the_window(mode: str) -> None:
    """notify_closing() wakes a task that waits for room in the send window."""
    ours, theirs = stdlib_pair()
    sock = trio.socket.from_stdlib_socket(ours)

    async def send() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await sock.send(bytes(1000))

    with ours, theirs:
        fill(ours)
        await sock.send(bytes(1000))
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                await wait_all_tasks_blocked()
                trio.lowlevel.notify_closing(ours)
                ours.close()


@pytest.mark.parametrize("call", ["receive", "receive_many"])
async def test_notify_closing_tells_who_waits_in_a_channel(call: str, mode: str) -> None:
    """notify_closing() wakes a task inside a datagram channel, and then the close sets the address free."""
    channel = await trio_rio.open_datagram_channel(("127.0.0.1", 0))
    address = address_of(channel)

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await getattr(channel, call)()

    with trio.fail_after(PATIENCE_SECONDS):
        async with channel:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                trio.lowlevel.notify_closing(channel.socket)
            channel.socket.close()
        await settled()
        async with await trio_rio.open_datagram_channel(address):
            pass
    assert_ledger_balanced()


@pytest.mark.skipif(IS_WINDOWS, reason="Windows gives numbers in no order")
async def test_a_number_that_is_something_else_is_waited_for(mode: str) -> None:
    """The socket of a number was closed behind our back: wait_readable() waits for what has the number now."""
    ours, theirs = stdlib_pair()
    sock = trio.socket.from_stdlib_socket(ours)
    number = ours.fileno()
    with theirs:
        with trio.move_on_after(0.01):
            await sock.recv(10)
        read, write = os.pipe()
        ours.close()
        os.dup2(read, number)
        os.close(read)
        try:
            os.write(write, b"x")
            with trio.fail_after(PATIENCE_SECONDS):
                await trio.lowlevel.wait_readable(number)
        finally:
            os.close(number)
            os.close(write)


async def test_what_the_system_has_can_be_read(mode: str) -> None:
    """is_readable() is true when the bytes are in the system, though a receive is posted and nobody has looked."""
    ours, theirs = stdlib_pair()
    with theirs, trio.socket.from_stdlib_socket(ours) as sock:
        with trio.move_on_after(0.01):
            await sock.recv(10)
        theirs.send(b"x")
        while not (select.select([ours], [], [], 0)[0] or sock.is_readable()):
            pass
        assert sock.is_readable()
        assert await sock.recv(10) == b"x"


@needs_full_buffers
@pytest.mark.skipif(IS_WINDOWS, reason="there the requests of a socket end with its handle")
@pytest.mark.rio_config(send_window_bytes=1 << 20)
async def test_sends_in_flight_go_out_after_notify_closing(mode: str) -> None:
    """What a send inside the window has taken reaches the peer, though others close the descriptor and use it again."""
    ours, theirs = stdlib_pair()
    sock = trio.socket.from_stdlib_socket(ours)
    count = fill(ours)
    sent = b""
    for number in range(4):
        data = bytes([number]) * 50_000
        sent += data[: await sock.send(data)]
    assert trio_rio.current_statistics().sends_in_flight
    fd = ours.fileno()
    trio.lowlevel.notify_closing(sock)
    ours.close()
    one, other = socket.socketpair()
    with one, other, theirs:
        assert fd in (one.fileno(), other.fileno())
        theirs.setblocking(False)
        with trio.socket.from_stdlib_socket(theirs) as server, trio.fail_after(PATIENCE_SECONDS):
            received = await receive_all(server)
        assert received[count:] == sent
        for stranger in (one, other):
            stranger.setblocking(False)
            with pytest.raises(BlockingIOError):
                stranger.recv(1)
    await settled()
