"""The bookkeeping of an engine: what it says of itself, counted when it is asked and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._statistics import Ledger, RioStatistics
from .requests import ABANDONED, CANCELLED, DONE, FREE, LEASED, POSTED, WAITED

if TYPE_CHECKING:
    from .resources import Resources


def ledger(engine: Resources, *, is_over: bool) -> Ledger:
    """What was given out, as the engine and as the provider count it."""
    provider, requests, collectors = engine.provider, engine.pool.requests, engine.collectors
    room, charged = collectors.usage()
    pooled = engine.pool.free()
    account = engine.packet_handlers.account()
    busy = [request for request in requests if request.state is not FREE]
    return Ledger(
        provider=provider.name,
        is_over=is_over,
        requests_used=sum(request.context >> 32 for request in requests) - len(requests) + len(busy),
        requests_in_flight=sum(request.state not in (DONE, LEASED) for request in busy)
        + account.receives_in_flight
        + account.sends_in_flight,
        requests_outstanding=provider.outstanding(),
        requests_untaken=sum(request.state is DONE for request in busy),
        requests_leased=sum(request.state is LEASED for request in busy),
        requests_lost=len(requests) - len(busy) - len(set(pooled) - set(busy)),
        requests_doubled=len(pooled) - len(set(pooled) - set(busy)),
        slices_leased=engine.arena.leases_outstanding,
        slices_held=sum(request.slice is not None for request in requests) + account.slices_held,
        registered_bytes=engine.arena.registered_bytes + account.registered_bytes,
        credits_charged=charged + account.credits_charged,
        credits_room=room + account.credits_charged,
        sockets_open=len(engine.channels) + account.sockets_open,
        is_notifier_waiting=collectors.is_notifier_waiting and not collectors.is_polling,
        completion_queues=len(collectors.all),
        completion_queues_armed=sum(collector.is_armed for collector in collectors.all),
    )


def tasks_waiting(engine: Resources, *, receive: bool) -> int:
    """Tasks that wait for a request now."""
    account = engine.packet_handlers.account()
    waiting = account.tasks_receiving if receive else account.tasks_sending
    waiting += sum(one.state in (WAITED, CANCELLED) and one.is_receive is receive for one in engine.pool.requests)
    return waiting + sum(channel.tasks_waiting(receive=receive) for channel in engine.channels.values())


def _in_flight(engine: Resources, *, receive: bool) -> int:
    states = (WAITED, CANCELLED, POSTED, ABANDONED)
    return sum(request.state in states and request.is_receive is receive for request in engine.pool.requests)


def statistics(engine: Resources, because: str) -> RioStatistics:
    """A snapshot."""
    counters = engine.counters
    capacity, charged = (0, 0) if engine.is_closed else engine.collectors.usage()
    account = engine.packet_handlers.account()
    mean = counters.completions / counters.dequeues_with_results if counters.dequeues_with_results else 0.0
    return RioStatistics(
        provider=engine.provider.name,
        provider_because=because,
        engine=engine.engine_name,
        notification=engine.config.notification,
        tasks_waiting_read=tasks_waiting(engine, receive=True),
        tasks_waiting_write=tasks_waiting(engine, receive=False),
        sockets_open=len(engine.channels) + account.sockets_open,
        receives_in_flight=_in_flight(engine, receive=True) + account.receives_in_flight,
        sends_in_flight=_in_flight(engine, receive=False) + account.sends_in_flight,
        sockets_lingering=len(engine.lingering),
        completions_dequeued=counters.completions,
        dequeue_calls=counters.dequeues,
        notifications_armed=counters.armed,
        notifications_received=counters.received,
        results_per_dequeue_min=counters.results_min,
        results_per_dequeue_mean=mean,
        results_per_dequeue_max=counters.results_max,
        commits=engine.manager.commits,
        registered_bytes=engine.arena.registered_bytes + account.registered_bytes,
        leases_outstanding=engine.arena.leases_outstanding - engine.pool.slices_kept(),
        completion_queues=len(engine.collectors.all),
        completion_queue_capacity=capacity + account.credits_charged,
        completion_queue_used=charged + account.credits_charged,
        drained_late=counters.drained_late,
        leaked_bytes=engine.provider.leaked_bytes,
        sockets_served=counters.sockets,
        window_stalls=counters.window_stalls,
    )
