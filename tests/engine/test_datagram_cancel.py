"""Cancelling calls of a DatagramChannel takes nothing, loses nothing, and sends nothing later.

The storm reaches 100,000 datagrams at TRIO_RIO_TEST_SCALE=16. ``pytest -s`` shows how many calls were cancelled.
"""

from __future__ import annotations

import random

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import DatagramChannel
from trio_rio.testing import assert_ledger_balanced

from .datagrams import ALL_CARRIERS, address_of, let_arrive, open_local, open_two, receive_all
from .harness import scaled

pytestmark = ALL_CARRIERS

DATAGRAMS = scaled(6250, 100_000)
AHEAD_MAX = 200
SEED = 2026


@pytest.mark.parametrize("batch", [False, True])
async def test_a_cancelled_receive_takes_nothing(batch: bool) -> None:
    """Cancelled while it waits, or before: the next receive gets every datagram."""
    async with open_two() as (one, other):

        async def receive() -> None:
            await (other.receive_many() if batch else other.receive())

        for _ in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        await one.send_many([(b"%d" % number, address_of(other)) for number in range(100)])
        await let_arrive(other)
        for _ in range(3):
            with trio.CancelScope() as scope:
                scope.cancel()
                await receive()
            assert scope.cancelled_caught
        assert await receive_all(other, 100) == [b"%d" % number for number in range(100)]
        assert_ledger_balanced()


async def test_a_cancelled_send_sends_nothing() -> None:
    """A send in a cancelled scope sends nothing, however it is called."""
    async with open_two() as (one, other):
        to = address_of(other)
        for _ in range(2):
            with trio.CancelScope() as scope:
                scope.cancel()
                await one.send(b"never", to)
            assert scope.cancelled_caught
            with trio.CancelScope() as scope:
                scope.cancel()
                await one.send_many([(b"never", to)] * 3)
            assert scope.cancelled_caught
            await one.send(b"now", to)  # and now the address is known
        assert await receive_all(other, 2) == [b"now", b"now"]


async def test_a_cancelled_send_many_says_how_many_went() -> None:
    """Cancelled on the way it returns how many have gone, and the next checkpoint raises."""
    async with open_two() as (one, other), trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        sent = 0

        async def send() -> None:
            nonlocal sent
            with scope:
                sent = await one.send_many([(b"x" * 1000, address_of(other))] * 5000)
                await trio.lowlevel.checkpoint()
            assert scope.cancelled_caught

        nursery.start_soon(send)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        scope.cancel()
        assert len(await receive_all(other, 1)) == 1
        await wait_all_tasks_blocked()
        assert 0 < sent < 5000
        assert await receive_all(other, sent - 1) == [b"x" * 1000] * (sent - 1)
        with trio.move_on_after(0.05) as none_left:
            await other.receive()
        assert none_left.cancelled_caught


async def _receive_in_the_storm(
    channel: DatagramChannel, chance: random.Random, scopes: list[trio.CancelScope | None], seen: list[int]
) -> tuple[int, int]:
    calls = cancelled = 0
    while len(seen) < DATAGRAMS:
        calls += 1
        with trio.CancelScope() as scope:
            scopes[0] = scope
            if chance.random() < 0.1:
                scope.cancel()
            if chance.random() < 0.8:
                seen.append(int((await channel.receive())[0]))
            else:
                seen += [int(data) for data, _ in await channel.receive_many(chance.choice((None, 1, 7)))]
        scopes[0] = None
        cancelled += scope.cancelled_caught
        if chance.random() < 0.2:
            await trio.lowlevel.checkpoint()
    return calls, cancelled


async def test_no_datagram_is_lost_in_a_storm() -> None:
    """Receives and sends are cancelled at random ticks; every datagram whose send returned arrives, once, in order."""
    chance = random.Random(SEED)
    scopes: list[trio.CancelScope | None] = [None, None]
    seen: list[int] = []
    sent = 0

    async def send(channel: DatagramChannel, to: tuple[str, int]) -> None:
        nonlocal sent
        while sent < DATAGRAMS:
            if sent - len(seen) > AHEAD_MAX:
                await trio.lowlevel.checkpoint()
                continue
            count = min(chance.choice((1, 1, 3, 50, 150)), DATAGRAMS - sent)
            batch = [(b"%d" % number, to) for number in range(sent, sent + count)]
            with trio.CancelScope() as scope:
                scopes[1] = scope
                if count == 1:
                    await channel.send(*batch[0])
                    sent += 1
                else:
                    sent += await channel.send_many(batch)
            scopes[1] = None

    async def rage() -> None:
        while True:
            for _ in range(chance.randrange(1, 4)):
                await trio.lowlevel.checkpoint()
            scope = chance.choice(scopes)
            if scope is not None:
                scope.cancel()

    async with await open_local() as one, await open_local() as other, trio.open_nursery() as nursery:
        nursery.start_soon(rage)
        nursery.start_soon(send, one, address_of(other))
        calls, cancelled = await _receive_in_the_storm(other, chance, scopes, seen)
        nursery.cancel_scope.cancel()
        assert seen == list(range(DATAGRAMS))
        assert other.statistics().datagrams_dropped in (0, None)
        assert_ledger_balanced()
    print(f"\n{DATAGRAMS} datagrams, {calls} receives, {cancelled} of them cancelled")
