"""Tasks that use sockets after the main task has ended: what went wrong once."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from ..engine.harness import PATIENCE_SECONDS, receive_all, receive_exactly, tcp_pair, udp_socket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..conftest import RioRun

    Sock = trio.socket.SocketType
    Step = Callable[[Sock, Sock], Awaitable[None]]

pytestmark = pytest.mark.rio_config(cancellation="detach")


def run_steps(rio_run: RioRun, before: Step, after: Step) -> None:
    """Let a system task take both steps with a connection: the second in a shield, when main has ended."""
    is_ready = trio.Event()

    async def work(ours: Sock, theirs: Sock) -> None:
        with ours, theirs:
            await before(ours, theirs)
            is_ready.set()
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True), trio.fail_after(PATIENCE_SECONDS):
                    await wait_all_tasks_blocked()
                    await after(ours, theirs)

    async def main() -> None:
        trio.lowlevel.spawn_system_task(work, *await tcp_pair())
        await is_ready.wait()

    rio_run(main)


def test_bytes_received_ahead_are_not_lost(rio_run: RioRun) -> None:
    """What was received ahead and not read before main ended is read first."""
    received = bytearray()

    async def before(ours: Sock, theirs: Sock) -> None:
        await theirs.send(b"hello")
        received.extend(await ours.recv(1))

    async def after(ours: Sock, theirs: Sock) -> None:
        await theirs.send(b" world")
        received.extend(await receive_exactly(ours, 10))

    run_steps(rio_run, before, after)
    assert received == b"hello world"


def test_a_posted_receive_takes_nothing_away(rio_run: RioRun) -> None:
    """What comes for a receive that was posted for nobody before main ended reaches the next reader."""
    received = []

    async def before(ours: Sock, theirs: Sock) -> None:
        await theirs.send(b"hello")
        received.append(await ours.recv(10))

    async def after(ours: Sock, theirs: Sock) -> None:
        for data in (b"one", b"two"):
            await theirs.send(data)
            received.append(await ours.recv(10))

    run_steps(rio_run, before, after)
    assert received == [b"hello", b"one", b"two"]


def test_a_send_goes_on_behind_those_in_flight(rio_run: RioRun) -> None:
    """A send of after the end of main follows those that were in flight then."""
    received = bytearray()

    async def after(ours: Sock, theirs: Sock) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_last, ours)
            received.extend(await receive_all(theirs))

    async def send_last(ours: Sock) -> None:
        await ours.send(b"the last")
        ours.close()

    run_steps(rio_run, fill_window, after)
    assert received.endswith(b"\0the last")


def test_a_shutdown_goes_out_behind_what_is_in_flight(rio_run: RioRun) -> None:
    """A shutdown that waits for sends in flight as main ends reaches the peer, after them."""
    received = bytearray()

    async def before(ours: Sock, theirs: Sock) -> None:
        await fill_window(ours, theirs)
        ours.shutdown(socket.SHUT_WR)

    async def after(ours: Sock, theirs: Sock) -> None:
        received.extend(await receive_all(theirs))

    run_steps(rio_run, before, after)
    assert len(received) > 1 << 16


async def fill_window(ours: Sock, theirs: Sock) -> None:
    """Send until the peer, which does not read, makes a send wait; but under Wine nothing may."""

    async def send() -> None:
        for _ in range(500):
            await ours.send(bytes(1 << 16))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()


def test_datagrams_reach_a_channel(rio_run: RioRun) -> None:
    """A datagram channel goes on receiving and sending after the end of main."""
    received = []

    async def work(channel: trio_rio.DatagramChannel, peer: Sock) -> None:
        async with channel:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True), trio.fail_after(PATIENCE_SECONDS), peer:
                    await wait_all_tasks_blocked()
                    await channel.send(b"there", peer.getsockname())
                    data, address = await peer.recvfrom(10)
                    await peer.sendto(data + b" and back", address)
                    received.append((await channel.receive())[0])

    async def main() -> None:
        channel = await trio_rio.open_datagram_channel(("127.0.0.1", 0))
        trio.lowlevel.spawn_system_task(work, channel, await udp_socket())
        await wait_all_tasks_blocked()

    rio_run(main)
    assert received == [b"there and back"]


def test_rio_serves_until_the_last_async_generator_is_done(rio_run: RioRun) -> None:
    """Sockets that async generators use in their clean-up, after all system tasks, are RIO's as ever."""
    books = []

    async def lines(ours: Sock, theirs: Sock) -> AsyncIterator[bytes]:
        with ours, theirs:
            try:
                while True:
                    yield await ours.recv(10)
            finally:
                with trio.CancelScope(shield=True), trio.fail_after(PATIENCE_SECONDS):
                    before = trio_rio.current_statistics().completions_dequeued
                    await ours.send(b"bye")
                    assert await receive_exactly(theirs, 3) == b"bye"
                    books.append(trio_rio.current_statistics().completions_dequeued - before)

    async def main() -> None:
        ours, theirs = await tcp_pair()
        generator = lines(ours, theirs)
        kept.append(generator)
        await theirs.send(b"first")
        assert await generator.__anext__() == b"first"

    kept: list[AsyncIterator[bytes]] = []
    rio_run(main)
    assert books[0] >= 2
