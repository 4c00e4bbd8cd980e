"""Datagram channels that are closed when a task of theirs was woken and has not run yet: what went wrong once."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import DatagramChannel
from trio_rio._datagrams.queue import DatagramQueue

from ..engine.datagrams import ALL_CARRIERS, address_of, open_local, stdlib_peer
from ..engine.harness import PATIENCE_SECONDS, SetWhenWoken
from ..platforms import IS_WINDOWS

# Which of two tasks that are woken together runs first is up to chance.
ROUNDS = 16


async def receive_one(channel: DatagramChannel) -> bytes:
    return (await channel.receive())[0]


async def receive_batch(channel: DatagramChannel) -> bytes:
    return (await channel.receive_many())[0][0]


async def receive_lent(channel: DatagramChannel) -> bytes:
    async with channel.receive_lease() as datagrams:
        return bytes(datagrams[0][0])


async def close_channel(channel: DatagramChannel) -> None:
    await channel.aclose()


async def close_socket(channel: DatagramChannel) -> None:
    channel.socket.close()


RECEIVES = pytest.mark.parametrize("receive", [receive_one, receive_batch, receive_lent])
CLOSES = pytest.mark.parametrize("close", [close_channel, close_socket])


async def notify_closing(channel: DatagramChannel) -> None:
    trio.lowlevel.notify_closing(channel.socket)


async def ends_of_race(channel: DatagramChannel, receive: Any, close: Any) -> list[str]:
    """Close a channel in the turn in which three datagrams wake a task that receives; what the task gets."""
    is_woken = trio.Event()
    ends = []

    async def read() -> None:
        trio.lowlevel.add_instrument(SetWhenWoken(trio.lowlevel.current_task(), is_woken))
        try:
            ends.append((await receive(channel)).decode())
        except trio.ClosedResourceError:
            ends.append("closed")

    async def close_in_time() -> None:
        await is_woken.wait()
        await close(channel)

    with stdlib_peer() as peer, trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(close_in_time)
            await wait_all_tasks_blocked()
            for data in (b"1", b"2", b"3"):
                peer.sendto(data, address_of(channel))
    return ends


async def race(receive: Any, close: Any) -> None:
    """Close a channel in the turn in which a task that receives is woken; check what comes of it."""
    channel = await open_local()
    assert await ends_of_race(channel, receive, close) in (["1"], ["closed"])
    with pytest.raises(trio.ClosedResourceError):
        await channel.receive()
    await channel.aclose()


class TestEachCarrier:
    """With RIO and without it."""

    pytestmark = ALL_CARRIERS

    @RECEIVES
    @CLOSES
    async def test_a_close_and_a_reader_that_was_woken(self, receive: Any, close: Any) -> None:
        """A task that a datagram woke gets it or ClosedResourceError, and nothing is received after the close."""
        for _ in range(ROUNDS):
            await race(receive, close)

    async def test_what_had_come_is_not_received_after_the_close(self) -> None:
        """Datagrams that the channel has taken are dropped when its socket is closed: receiving raises."""
        channel = await open_local()
        with stdlib_peer() as peer:
            for _ in range(5):
                peer.sendto(b"x", address_of(channel))
            await channel.receive()
            channel.socket.close()
            for receive in (channel.receive, channel.receive_many):
                with pytest.raises(trio.ClosedResourceError):
                    await receive()
            assert channel.statistics().datagrams_waiting == 0
        await channel.aclose()

    @RECEIVES
    async def test_notify_closing_and_a_reader_that_was_woken(self, receive: Any) -> None:
        """A task that a datagram woke gets it or ClosedResourceError, and then the next call gets it."""
        for _ in range(ROUNDS):
            channel = await open_local()
            ends = await ends_of_race(channel, receive, notify_closing)
            if ends == ["closed"] and not IS_WINDOWS:  # there a receive that stays posted has taken it
                with trio.fail_after(PATIENCE_SECONDS):
                    ends = [(await receive_one(channel)).decode()]
            assert ends == ["1"] or IS_WINDOWS
            await channel.aclose()


@pytest.mark.rio_config(cancellation="detach")
@pytest.mark.parametrize("second", [close_channel, close_socket])
async def test_a_second_close_while_sends_go_out(second: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """aclose raises nothing when the channel or its socket is closed while it waits for what was accepted."""
    is_in_flight = True
    monkeypatch.setattr(DatagramQueue, "is_lingering", lambda queue: is_in_flight and not queue.is_ended)
    channel = await open_local()
    if channel.statistics().provider is None:
        pytest.skip("RIO does not serve here")
    sends = channel._queue.sends  # type: ignore[union-attr]
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.aclose)
            await wait_all_tasks_blocked()
            nursery.start_soon(second, channel)
            await wait_all_tasks_blocked()
            assert (channel.socket.fileno() == -1) is (second is close_socket)
            is_in_flight = False
            for task in sends.stop_waiting():
                trio.lowlevel.reschedule(task)
    assert channel.socket.fileno() == -1


@CLOSES
def test_a_close_and_a_reader_that_was_woken_on_stock_trio(close: Any) -> None:
    """A task that a datagram woke gets it or ClosedResourceError, on stock Trio too."""

    async def main() -> None:
        for _ in range(ROUNDS):
            await race(receive_one, close)

    trio.run(main)
