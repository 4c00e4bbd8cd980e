"""What a run can say about itself."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen
class RioIOStatistics:
    """``trio.lowlevel.current_statistics().io_statistics`` of a run on trio_rio.

    Tasks are counted in readiness waits and on requests.
    """

    #: Tasks that wait now to receive, or for readability.
    tasks_waiting_read: int
    #: Tasks that wait now to send, or for writability.
    tasks_waiting_write: int
    #: Always "rio", by which a program can tell such a run from others.
    backend: Literal["rio"] = attrs.field(init=False, default="rio")


@attrs.frozen(kw_only=True)
class WindowsRioIOStatistics(RioIOStatistics):
    """The same on Windows, with what Trio's own manager counts there."""

    #: Tasks that wait now for overlapped operations of their own.
    tasks_waiting_overlapped: int
    #: Completion keys that are watched now.
    completion_key_monitors: int


@attrs.frozen(kw_only=True)
class RioStatistics:
    """A snapshot of one run, over all of its completion queues; counts are since its start unless they say "now"."""

    #: The provider that serves, "winsock", "uring" or "portable".
    provider: str
    #: Why that one was chosen, in words.
    provider_because: str
    #: What serves the calls of streams, "native" or "python": :attr:`RioConfig.engine`.
    engine: str
    #: The way of collecting, "port", "event" or "polled".
    notification: str
    #: Now: tasks that wait for a receive. Those that wait for readability are in ``io_statistics`` of
    #: :func:`trio.lowlevel.current_statistics`, too.
    tasks_waiting_read: int
    #: Now: tasks that wait for a send; likewise.
    tasks_waiting_write: int
    #: Now: sockets with a request queue. 0 where sockets go Trio's own way.
    sockets_open: int
    #: Now: receives that are posted and have not completed.
    receives_in_flight: int
    #: Now: sends that are posted and have not completed.
    sends_in_flight: int
    #: Now: sockets that are closed and still have sends in flight.
    sockets_lingering: int
    #: Results taken from all completion queues.
    completions_dequeued: int
    #: Calls of RIODequeueCompletion, those that found nothing included.
    dequeue_calls: int
    #: Calls of RIONotify.
    notifications_armed: int
    #: Packets at the run's port, or wake-ups by the event, that completion queues sent.
    notifications_received: int
    #: The fewest results that one dequeue brought, empty ones left out; 0 before the first.
    results_per_dequeue_min: int
    #: The mean number of results of a dequeue, empty ones left out; 0 before the first.
    results_per_dequeue_mean: float
    #: The most results that one dequeue brought; 0 before the first.
    results_per_dequeue_max: int
    #: Calls that commit what was posted since the one before, whether there was anything or not: one per tick.
    commits: int
    #: Now: bytes of registered memory.
    registered_bytes: int
    #: Now: slices of registered memory in use, by requests that are under way and by leases of the program.
    leases_outstanding: int
    #: Completion queues of the run, those for sends included.
    completion_queues: int
    #: Now: results that all completion queues together have room for.
    completion_queue_capacity: int
    #: Now: results promised to request queues. Sockets that come find less room the nearer this is to the capacity.
    completion_queue_used: int
    #: Sends that were aborted because their time to linger was over. The peer has not got their data.
    drained_late: int
    #: Bytes of memory that the kernel did not let go of, and that were kept for good. 0 unless something is wrong.
    leaked_bytes: int
    #: Sockets that have had a request queue since the start of the run.
    sockets_served: int
    #: How often a task that wanted to send had to wait for room in a send window; 0 where sends are waited for.
    window_stalls: int


@attrs.frozen(kw_only=True)
class Ledger:
    """The books of one run at one moment: what the engine has given out, and what the provider says.

    Whatever the moment, the two must agree; at the end of a run everything must be back.
    """

    #: The provider of the run.
    provider: str
    #: The run has ended, and these are its last books.
    is_over: bool
    #: Requests posted since the start of the run, those in flight included.
    requests_used: int
    #: Requests posted and not completed, as the engine counts.
    requests_in_flight: int
    #: The same, as the provider counts.
    requests_outstanding: int
    #: Requests that have completed, and whose result is not taken yet.
    requests_untaken: int
    #: Requests that are not posted, because a task has their memory.
    requests_leased: int
    #: Requests that are free, and in no pool. Always 0 where all is well.
    requests_lost: int
    #: Requests in a pool twice, or in a pool and not free. Always 0 where all is well.
    requests_doubled: int
    #: Slices given out, as the arena counts.
    slices_leased: int
    #: Slices held by requests, free ones too, since a request keeps its slice.
    slices_held: int
    #: Bytes of registered memory.
    registered_bytes: int
    #: Results that are promised to request queues.
    credits_charged: int
    #: Results that the completion queues have room for.
    credits_room: int
    #: Sockets with a request queue.
    sockets_open: int
    #: The notifier waits for a signal of a completion queue.
    is_notifier_waiting: bool
    #: Completion queues of the run.
    completion_queues: int
    #: Completion queues that are armed, and whose signal has not come.
    completion_queues_armed: int

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
