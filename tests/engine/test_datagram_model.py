"""Random programs on two channels: what is received is what was sent, whatever calls are mixed."""

from __future__ import annotations

from collections import deque

import pytest
import trio
from hypothesis import HealthCheck, given, settings, strategies

from trio_rio import DatagramChannel, TruncatedDatagramError
from trio_rio.testing import assert_ledger_balanced

from .datagrams import ALL_CARRIERS, address_of, open_two

pytestmark = ALL_CARRIERS

ROOM = 50
DATA = strategies.binary(max_size=ROOM + 10)
STEPS = strategies.lists(
    strategies.one_of(
        strategies.tuples(strategies.just("send"), DATA),
        strategies.tuples(strategies.just("send_many"), strategies.lists(DATA, max_size=20)),
        strategies.tuples(strategies.just("receive"), strategies.none()),
        strategies.tuples(
            strategies.just("receive_many"), strategies.one_of(strategies.none(), strategies.integers(1, 9))
        ),
        strategies.tuples(strategies.just("lease"), strategies.one_of(strategies.none(), strategies.integers(1, 9))),
        strategies.tuples(strategies.just("cancelled"), strategies.sampled_from(["receive", "receive_many"])),
    ),
    max_size=25,
)


async def receive(channel: DatagramChannel, kind: str, limit: int | None) -> list[bytes | None]:
    """What one call brings; ``None`` for a datagram that was too long."""
    try:
        if kind == "receive":
            return [(await channel.receive())[0]]
        if kind == "receive_many":
            return [data for data, _ in await channel.receive_many(limit)]
        async with channel.receive_lease(limit) as datagrams:
            return [bytes(view) for view, _ in datagrams]
    except TruncatedDatagramError:
        return [None]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(slots=strategies.integers(1, 6), steps=STEPS)
async def test_received_is_what_was_sent(slots: int, steps: list[tuple[str, object]]) -> None:
    """In order, each once, the empty ones too; those that are too long as an error in their place."""
    expected: deque[bytes | None] = deque()
    async with open_two(receives_posted=slots, receive_size_bytes=ROOM) as (one, other):
        to = address_of(other)
        for kind, argument in steps:
            if kind in ("send", "send_many"):
                batch = [argument] if isinstance(argument, bytes) else list(argument)  # type: ignore[call-overload]
                if kind == "send":
                    await one.send(batch[0], to)
                else:
                    assert await one.send_many([(data, to) for data in batch]) == len(batch)
                expected.extend(data if len(data) <= ROOM else None for data in batch)
            elif kind == "cancelled":
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await receive(other, str(argument), None)
                assert scope.cancelled_caught
            elif expected:
                limit = argument if isinstance(argument, int) else None
                for data in await receive(other, kind, limit):
                    assert data == expected.popleft()
        while expected:
            for data in await receive(other, "receive_many", None):
                assert data == expected.popleft()
        with pytest.raises(trio.TooSlowError), trio.fail_after(0.001):
            await other.receive()
        assert_ledger_balanced()
