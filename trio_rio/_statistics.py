"""What a run can say about itself."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.define(eq=False)
class Counters:
    """What an engine counts since the start of its run."""

    completions: int = 0
    dequeues: int = 0
    dequeues_with_results: int = 0
    results_min: int = 0
    results_max: int = 0
    armed: int = 0
    received: int = 0
    drained_late: int = 0

    def note_dequeue(self, results: int) -> None:
        """A completion queue was dequeued, and gave so many results."""
        self.dequeues += 1
        if not results:
            return
        self.completions += results
        self.dequeues_with_results += 1
        if results > self.results_max:
            self.results_max = results
        if results < self.results_min or not self.results_min:
            self.results_min = results


@attrs.frozen
class RioIOStatistics:
    """``trio.lowlevel.current_statistics().io_statistics`` of a run on trio_rio.

    ``tasks_waiting_read`` and ``tasks_waiting_write`` count tasks, in readiness waits and on requests.
    """

    tasks_waiting_read: int
    tasks_waiting_write: int
    backend: Literal["rio"] = attrs.field(init=False, default="rio")


@attrs.frozen(kw_only=True)
class WindowsRioIOStatistics(RioIOStatistics):
    """The same on Windows, with what Trio's own manager counts there."""

    tasks_waiting_overlapped: int
    completion_key_monitors: int


@attrs.frozen(kw_only=True)
class RioStatistics:
    """A snapshot of one run; counts are since its start unless they say otherwise.

    ``notification`` is the way of collecting: "port", "event" or "polled". Counts are over all completion queues;
    ``results_per_dequeue_*`` over dequeues that brought something, all 0 before the first.
    ``notifications_armed`` counts RIONotify, ``notifications_received`` packets, or wake-ups by the event. ``commits``
    counts the calls that commit what was posted since the one before, whether there was anything or not: one per tick.
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
    completion_queues: int
    completion_queue_capacity: int  # now, of all completion queues
    completion_queue_used: int  # now: results promised to request queues
    drained_late: int  # sends that were aborted because their time to linger was over
    leaked_bytes: int  # memory that the kernel did not let go of


@attrs.frozen(kw_only=True)
class Ledger:
    """The books of one run at one moment: what the engine has given out, and what the provider says.

    Whatever the moment, the two must agree; at the end of a run everything must be back.
    """

    provider: str
    is_over: bool  # the run has ended, and these are its last books
    requests_used: int  # posted since the start of the run, those in flight included
    requests_in_flight: int  # posted and not completed, as the engine counts
    requests_outstanding: int  # the same, as the provider counts
    requests_untaken: int  # completed, and their result is not taken yet
    requests_leased: int  # not posted: a task has their memory
    requests_lost: int  # free, and in no pool
    requests_doubled: int  # in a pool twice, or in a pool and not free
    slices_leased: int  # as the arena counts
    slices_held: int  # by requests, free ones too: a request keeps its slice
    registered_bytes: int
    credits_charged: int  # results that are promised to request queues
    credits_room: int  # results that the completion queues have room for
    sockets_open: int
    is_notifier_waiting: bool  # for a signal of a completion queue
    completion_queues: int
    completion_queues_armed: int  # armed, and no signal came

    def problems(self) -> list[str]:
        """What is wrong, in words; empty if the books balance."""
        found = []
        if self.requests_in_flight != self.requests_outstanding:
            found.append(
                f"the engine has {self.requests_in_flight} requests in flight, the provider {self.requests_outstanding}"
            )
        if self.slices_leased != self.slices_held:
            found.append(f"{self.slices_leased} slices are leased, and requests hold {self.slices_held}")
        if self.requests_lost or self.requests_doubled:
            found.append(f"{self.requests_lost} requests are lost, {self.requests_doubled} are given out twice")
        if not self.requests_in_flight <= self.credits_charged <= self.credits_room:
            found.append(
                f"{self.requests_in_flight} requests in flight, {self.credits_charged} credits given, "
                f"room for {self.credits_room}"
            )
        unarmed = self.completion_queues - self.completion_queues_armed
        if self.is_notifier_waiting and unarmed:
            found.append(
                f"the notifier waits, and {unarmed} of {self.completion_queues} completion queues are not armed"
            )
        if self.is_over:
            found += self._problems_at_the_end()
        return found

    def _problems_at_the_end(self) -> list[str]:
        left = {
            "requests in flight": self.requests_in_flight,
            "results that nobody took": self.requests_untaken,
            "leases that nobody ended": self.requests_leased,
            "credits not given back": self.credits_charged,
        }
        found = [f"at the end of the run: {count} {what}" for what, count in left.items() if count]
        if self.is_notifier_waiting:
            found.append("at the end of the run: the notifier waits")
        return found

    def assert_balanced(self) -> None:
        """Raise :class:`AssertionError` with what is wrong, and the books."""
        found = self.problems()
        assert not found, f"{'; '.join(found)}\n{self}"
