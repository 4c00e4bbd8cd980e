"""Leases whose views do not end with their block: what went wrong once."""

from __future__ import annotations

import pytest
import trio

import trio_rio
from trio_rio import DatagramChannel

from ..engine.datagrams import address_of, open_local, stdlib_peer
from ..engine.harness import BOTH_MODES, tcp_pair

pytestmark = BOTH_MODES


async def release_early() -> None:
    client, server = map(trio_rio.RioStream, await tcp_pair())
    async with client, server:
        async with client.lease_send(5) as view:
            with view:
                view[:] = b"hello"
        lease = client.lease_send(5)
        async with lease as view:
            view.release()
            lease.send_only(0)
        await client.send_all(b", world")
        await client.send_eof()
        assert b"".join([data async for data in server]) == b"hello, world"


async def test_a_task_that_releases_what_it_has_filled_in() -> None:
    """A view to send may be released before the end of the block: what was filled in is sent, or nothing if told so."""
    await release_early()


def test_a_task_that_releases_what_it_has_filled_in_on_stock_trio() -> None:
    """The same where the memory is not the run's."""
    trio.run(release_early)


async def slots_after_a_receive(channel: DatagramChannel) -> int:
    """How many slots have a receive after one more datagram has come and gone."""
    with stdlib_peer() as peer:
        peer.sendto(b"x", address_of(channel))
        await channel.receive()
    return channel.statistics().receives_posted


async def lend(channel: DatagramChannel) -> list[memoryview]:
    """Parts of three datagrams that outlive their lease."""
    with stdlib_peer() as peer:
        for _ in range(3):
            peer.sendto(b"data", address_of(channel))
        parts: list[memoryview] = []
        while len(parts) < 3:
            with pytest.raises(BufferError):
                async with channel.receive_lease() as datagrams:
                    parts += [view[1:] for view, _ in datagrams]
        return parts


async def test_slots_that_outlived_their_lease_come_back() -> None:
    """Slots that somebody saw after the end of a lease have receives again, though nobody takes another lease."""
    async with await open_local(receives_posted=8) as channel:
        parts = await lend(channel)
        assert await slots_after_a_receive(channel) == 5
        for part in parts:
            part.release()
        assert await slots_after_a_receive(channel) == 8


async def test_slots_of_a_dropped_lease_come_back() -> None:
    """Slots of a lease that was dropped have receives again, though nobody takes another lease."""
    async with await open_local(receives_posted=8) as channel:
        with stdlib_peer() as peer:
            peer.sendto(b"data", address_of(channel))
        with pytest.warns(ResourceWarning, match="dropped"):
            await channel.receive_lease().__aenter__()
        assert await slots_after_a_receive(channel) == 8
