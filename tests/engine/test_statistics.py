"""What a run says about itself adds up."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio.testing import current_ledger

from .harness import BOTH_MODES, open_pair, scaled, udp_socket

pytestmark = BOTH_MODES


@contextlib.asynccontextmanager
async def open_udp_pair() -> AsyncIterator[tuple[trio.socket.SocketType, trio.socket.SocketType]]:
    """Two UDP sockets, closed at the end."""
    with await udp_socket() as first, await udp_socket() as second:
        yield first, second


async def test_counts_of_completions_add_up() -> None:
    """Each request that was used has completed or is in flight, and the dequeues brought just those."""
    async with open_pair() as (client, server), open_udp_pair() as (sender, receiver):
        for number in range(scaled(50, 1000)):
            await client.send(b"x" * (number + 1))
            await server.recv(2000)
            await sender.sendto(b"y", receiver.getsockname())
            await receiver.recvfrom(10)
        with trio.move_on_after(0.01):
            await client.recv(1)
        await wait_all_tasks_blocked()
        books, numbers = current_ledger(), trio_rio.current_statistics()
        assert numbers.completions_dequeued == books.requests_used - books.requests_in_flight
        assert numbers.receives_in_flight + numbers.sends_in_flight == books.requests_in_flight
        assert numbers.leases_outstanding >= books.requests_in_flight
        low, high = numbers.results_per_dequeue_min, numbers.results_per_dequeue_max
        assert 1 <= low <= numbers.results_per_dequeue_mean <= high
        assert numbers.dequeue_calls >= numbers.completions_dequeued / numbers.results_per_dequeue_max
        unanswered = numbers.notifications_armed - numbers.notifications_received
        assert unanswered >= 0
        # A packet answers for one queue, an event for all that have signalled.
        assert numbers.notification == "event" or unanswered <= numbers.completion_queues
        assert numbers.completion_queue_used == books.credits_charged <= numbers.completion_queue_capacity
        assert numbers.registered_bytes == books.registered_bytes > 0
        assert numbers.sockets_open == 4
        assert (numbers.drained_late, numbers.leaked_bytes) == (0, 0)


async def test_tasks_that_wait_are_counted() -> None:
    """Tasks that receive, and tasks in readiness waits, are counted once each, for Trio's statistics too."""
    async with open_pair() as (client, server), trio.open_nursery() as nursery:
        before = trio.lowlevel.current_statistics().io_statistics
        assert isinstance(before, trio_rio.RioIOStatistics)
        nursery.start_soon(client.recv, 1)
        await wait_all_tasks_blocked()
        nursery.start_soon(trio.lowlevel.wait_readable, server)
        await wait_all_tasks_blocked()
        now = trio.lowlevel.current_statistics().io_statistics
        assert isinstance(now, trio_rio.RioIOStatistics)
        assert now.backend == "rio"
        assert now.tasks_waiting_read - before.tasks_waiting_read == 2
        assert trio_rio.current_statistics().tasks_waiting_read == 1
        nursery.cancel_scope.cancel()


async def test_a_run_begins_with_zeros(rio_provider: str) -> None:
    """Before its first socket a run has counted nothing, registered nothing and promised nothing."""
    numbers = trio_rio.current_statistics()
    assert numbers.provider == rio_provider
    assert rio_provider in numbers.provider_because
    assert (numbers.completions_dequeued, numbers.notifications_armed, numbers.results_per_dequeue_mean) == (0, 0, 0)
    assert (numbers.registered_bytes, numbers.completion_queue_used, numbers.sockets_open) == (0, 0, 0)


async def test_statistics_are_a_snapshot() -> None:
    """Numbers that were taken do not change."""
    numbers = trio_rio.current_statistics()
    async with open_pair() as (client, _):
        await client.send(b"x")
        assert numbers.sockets_open == 0
    with pytest.raises(AttributeError):
        numbers.sockets_open = 1  # type: ignore[misc]
