"""A channel's own queues tell by packets, whatever way of collecting the run was given; no wake-up is lost."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_rio import DatagramChannel
from trio_rio.testing import assert_ledger_balanced

from .datagrams import address_of, open_two
from .harness import BOTH_MODES

WAYS: list[dict[str, Any]] = [
    {"notification": "port"},
    {"notification": "event"},
    {"notification": "polled"},
    {"busy_poll_seconds": 0.01},
    {"notification": "event", "busy_poll_seconds": 0.001},
    {"completion_queues": 3, "separate_send_queue": True},
]
pytestmark = [
    *BOTH_MODES,
    pytest.mark.parametrize(
        "way", [pytest.param(way, marks=pytest.mark.rio_config(**way), id=str(way)) for way in WAYS], indirect=True
    ),
]

ROUNDS = 200


@pytest.mark.usefixtures("way")
async def test_no_wake_up_is_lost() -> None:
    """Two channels throw a batch back and forth, with no deadline that would wake the run should it oversleep."""
    async with open_two() as (one, other):

        async def throw_back(channel: DatagramChannel) -> None:
            for _ in range(ROUNDS):
                count = 0
                while count < 3:
                    batch = await channel.receive_many()
                    count += len(batch)
                    await channel.send_many(batch)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(throw_back, other)
            await one.send_many([(b"ball", address_of(other))] * 3)
            await throw_back(one)
            nursery.cancel_scope.cancel()
        assert_ledger_balanced()


@pytest.fixture
def way(request: pytest.FixtureRequest) -> dict[str, object]:
    """Options of the run, which come by a mark."""
    options: dict[str, object] = request.param
    return options
