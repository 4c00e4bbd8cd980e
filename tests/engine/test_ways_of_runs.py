"""The tests of whole runs, of guests and of fairness, once more for each way of collecting completions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import trio_rio

from .harness import WAYS_OPTIONS
from .test_fairness import test_rc_57_an_accept_beside_busy_connections, test_timers_beside_busy_connections
from .test_guest import (
    run_on_queue,
    test_a_cancellation_by_the_host,
    test_a_close_by_the_host,
    test_many_small_messages,
    test_traffic,
)
from .test_runs import (
    test_a_shielded_task_that_waits_when_the_run_ends,
    test_async_generators_use_sockets_at_the_end,
    test_runs_in_threads,
    test_system_tasks_use_sockets_while_the_run_ends,
    test_threads_of_a_run_and_back,
)

__all__ = [
    "test_a_cancellation_by_the_host",
    "test_a_close_by_the_host",
    "test_a_shielded_task_that_waits_when_the_run_ends",
    "test_async_generators_use_sockets_at_the_end",
    "test_many_small_messages",
    "test_rc_57_an_accept_beside_busy_connections",
    "test_runs_in_threads",
    "test_system_tasks_use_sockets_while_the_run_ends",
    "test_threads_of_a_run_and_back",
    "test_timers_beside_busy_connections",
    "test_traffic",
]

# For those that have options by a mark: one result in a turn, so that a busy connection fills every turn of its queue.
pytestmark = pytest.mark.rio_config(results_per_turn=1, completion_queues=3, separate_send_queue=True)


@pytest.fixture(params=[run_on_queue], ids=["queue"])
def host(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A function that runs an async function as a guest."""
    run: Callable[..., Any] = request.param
    return run


@pytest.fixture(params=WAYS_OPTIONS)
def config(request: pytest.FixtureRequest, rio_provider: str) -> trio_rio.RioConfig:
    """Options of a run on the provider of this test, in each way; half of them with the other mode of cancellation."""
    name: str = request.param
    detaches = "queue" in name or rio_provider == "winsock"  # which cannot cancel one request
    options = {"cancellation": "detach" if detaches else "request", **WAYS_OPTIONS[name]}
    return trio_rio.RioConfig(provider=rio_provider, **options)
