"""What a run can say about itself."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen
class RioIOStatistics:
    """``trio.lowlevel.current_statistics().io_statistics`` of a run on trio_rio.

    ``tasks_waiting_read`` and ``tasks_waiting_write`` count tasks, in readiness waits and on requests.
    """

    tasks_waiting_read: int
    tasks_waiting_write: int
    backend: Literal["rio"] = attrs.field(init=False, default="rio")


@attrs.frozen(kw_only=True)
class RioStatistics:
    """A snapshot of one run; counts are since its start unless they say otherwise.

    ``results_per_dequeue_*`` are over dequeues that brought something; all 0 before the first.
    """

    provider: str
    provider_because: str
    notification: str
    tasks_waiting_read: int  # now
    tasks_waiting_write: int  # now
    sockets_open: int  # now, with a request queue
    receives_in_flight: int  # now
    sends_in_flight: int  # now
    sockets_lingering: int  # now: closed, with sends in flight
    completions_dequeued: int
    dequeue_calls: int
    notifications_armed: int
    notifications_received: int
    results_per_dequeue_min: int
    results_per_dequeue_mean: float
    results_per_dequeue_max: int
    commits: int
    registered_bytes: int  # now
    leases_outstanding: int  # now
    completion_queue_capacity: int  # now
    completion_queue_used: int  # now: results promised to request queues
    drained_late: int  # sends that were aborted because their time to linger was over
    leaked_bytes: int  # memory that the kernel did not let go of
