"""One event in the hands of several threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from trio_rio.rio import EventNotification

from .harness import PATIENCE_SECONDS, Table, running

WAITERS = 3
ROUNDS = 20
TURNS = 5_000
FALL_ASLEEP_SECONDS = 0.005  # if the waiters do not, a round shows less


def test_setting_it_wakes_all_who_wait(table: Table) -> None:
    """Each thread that waits for an event returns when it is set."""
    event = table.new_event()
    wake_waiters(table, event.wait, event.set, event.reset)


def test_a_completion_queue_wakes_all_who_wait(table: Table) -> None:
    """Each thread that waits for the event of a completion queue returns when the queue sets it."""
    event = table.new_event()
    cq = table.provider.create_completion_queue(1, EventNotification(event))
    ours, _ = table.tcp()
    rq = table.provider.create_request_queue(ours, 0, 1, 1, 1, cq, cq, 0)
    byte = table.block().put(b"x")

    def fire() -> None:
        table.provider.notify(cq)
        table.provider.send(rq, byte, 1, 0, 0)

    def clear() -> None:
        assert len(table.provider.dequeue_completion(cq, 1)) == 1
        event.reset()

    wake_waiters(table, event.wait, fire, clear)
    table.provider.close_socket(rq)
    table.provider.close_completion_queue(cq)


def wake_waiters(
    table: Table, wait: Callable[[float], bool], fire: Callable[[], None], clear: Callable[[], None]
) -> None:
    barrier = threading.Barrier(WAITERS + 1, timeout=2 * PATIENCE_SECONDS)

    def wait_again_and_again() -> None:
        for _ in range(ROUNDS):
            barrier.wait()
            assert wait(PATIENCE_SECONDS)
            barrier.wait()

    with contextlib.ExitStack() as threads:
        for _ in range(WAITERS):
            threads.enter_context(running(wait_again_and_again))
        try:
            for _ in range(ROUNDS):
                barrier.wait()
                table.port.wait(FALL_ASLEEP_SECONDS)
                fire()
                barrier.wait()
                clear()
        except BaseException:
            barrier.abort()
            raise


def test_two_threads_may_use_it_at_once(table: Table) -> None:
    """To set, to look at and to reset an event at the same time as another thread does is no error."""
    event = table.new_event()

    def use() -> None:
        for _ in range(TURNS):
            event.set()
            assert event.is_set in (False, True)
            event.reset()

    with running(use):
        use()
    assert not event.is_set
