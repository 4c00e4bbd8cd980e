"""Collecting: the completion queues of a run, and the ways in which their results are fetched.

Facts
=====
A completion queue tells that it has results in one of three ways, chosen when it is made: a packet at a port, an event
that is set, or not at all. Either signal comes once per RIONotify, and at once if there is something already. To look
into a queue costs no system call. A request queue's results go to one queue for receives and one for sends, for good; a
queue has room for what it was charged with, and the charge comes back when a socket is closed.
[Microsoft Learn, RIONotify, RIOCreateCompletionQueue, RIOCreateRequestQueue]

Trio's run loop asks its I/O manager once per tick for what is new, and says how long it may wait: until the next
deadline, or 0 if a task can run. Whether *nothing* happened in that time is what ``wait_all_tasks_blocked`` and a
clock that jumps are built on.

Consequence
===========
Polling need not be a task's work: a task that always runs would make the run look busy for ever, and no test that waits
for all others to block would end. The tick is the place. Where the run would sleep, it looks again instead, for as long
as it may; what it was told stays true.

Which connections share a queue must be settled when a socket is attached, by what is known then.

Decision
========
- A :class:`Collector` alone dequeues from its completion queue, so results of a socket are seen in order. A batch is
  one dequeue of at most ``results_per_turn``.
- :class:`Collectors` are all of a run. A socket goes to the queue that is *least charged*, the first of equals: round
  robin while sockets come, and the gaps are filled when some have gone. It depends on nothing but the order in which
  sockets are attached and closed.
- Signalled ("port", "event"): queues are armed when a batch has emptied them; :mod:`.notifier` is told.
- Polled ("polled", or for ``busy_poll_seconds``): :meth:`Collectors.look_or_wait` dispatches a batch of each queue in
  each tick, and goes on looking instead of waiting. Only after that are the queues armed; "polled" ones never.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from .. import _trio
from .._errors import RioInternalError, RioResourceError
from ..rio import (
    CompletionQueue,
    EventNotification,
    Notification,
    Port,
    PortNotification,
    Provider,
    RawResult,
    Status,
)
from ..rio.types import RIO_MAX_CQ_SIZE
from .counters import Counters
from .packet_handlers import PacketHandlers
from .requests import ACTION_ON_COMPLETE, DONE, SLOT_MASK, WAITED, Action, Request, RequestPool, Step

if TYPE_CHECKING:
    from .._config import RioConfig
    from ..rio import Event

Events = TypeVar("Events")

# How long the end of a run sleeps at most before it looks again, where no signal would wake it.
_END_LOOK_SECONDS = 0.001


@attrs.define(eq=False)
class Drain:
    """Dequeues from a completion queue and arms it; nothing else does. What it does is counted."""

    provider: Provider
    queue: CompletionQueue
    counters: Counters
    is_armed: bool = False  # as far as we know: no signal came

    def dequeue(self, limit: int) -> list[RawResult]:
        """At most so many results. Fewer: the queue is empty."""
        results = self.queue.dequeue(limit)
        self.counters.note_dequeue(len(results))
        return results

    def arm(self) -> None:
        """RIONotify. A queue that is armed already is as good."""
        self.is_armed = True
        code = self.queue.arm()
        if not code:
            self.counters.armed += 1
        elif code != Status.EALREADY:
            self.provider.raise_for("RIONotify", code)

    def note_packet(self) -> None:
        """The signal came for which the queue was armed."""
        self.is_armed = False
        self.counters.received += 1


@attrs.define(eq=False)
class Collector(Drain):
    """The drain of a queue that sockets share."""

    pool: RequestPool = attrs.field(kw_only=True)
    requests: list[Request] = attrs.field(kw_only=True)  # the pool's
    limit: int = attrs.field(kw_only=True)  # results of one batch
    is_pending: bool = False  # the notifier is to dispatch a batch
    room_left: int = 0  # results that there is room for at least: sockets that are closed since make it more

    def dispatch_batch(self) -> int:
        """Dequeue once and hand the results out; how many there were. A full batch may have left some."""
        if self.pool.turn is not None:
            return self._dispatch_in_c(self.pool.turn)
        results = self.dequeue(self.limit)
        if not results:
            return 0
        requests = self.requests
        woken: list[Request] = []
        for status, count, _, context in results:
            request = requests[context & SLOT_MASK]
            if request.context != context:
                raise RioInternalError(f"a result came for request context {context:#x}, which is not in use")
            request.status = status
            request.count = count
            if request.state is WAITED:
                # TRANSITIONS[WAITED][COMPLETE] and Action.WAKE, inline: nearly every completion is this one.
                request.state = DONE
                if request.is_receive:
                    request.channel.reader = None  # type: ignore[union-attr]
                else:
                    request.channel.sends.discard(request)  # type: ignore[union-attr]
                woken.append(request)
            else:
                self._complete(request, woken)
        self._wake(woken)
        return len(results)

    def _dispatch_in_c(self, turn: Any) -> int:
        woken: list[Request] = []
        count: int = turn.collect(self, self.queue.handle, self.limit, woken)
        if count < 0:
            self.provider.raise_for("RIODequeueCompletion", -count)
        self.provider.note_dequeued()
        if count:
            self._wake(woken)
        return count

    def _wake(self, woken: list[Request]) -> None:
        """Let the tasks go on that wait for these, and remember how many they are: one that is alone sends at once."""
        self.pool.woken = len(woken)
        if woken:
            _trio.reschedule_all(_trio.GLOBAL_RUN_CONTEXT.runner, woken)

    def _complete(self, request: Request, woken: list[Request]) -> None:
        action = ACTION_ON_COMPLETE[request.state]
        channel = request.channel
        request.transition(Step.COMPLETE)
        assert channel is not None
        if action is Action.WAKE:
            channel.forget(request)
            woken.append(request)
        elif action is Action.KEEP:
            channel.keep(request)
        else:
            channel.forget(request)
            self.pool.finish(request)
            channel.end_if_sent()

    def reserve(self, more: int, config: RioConfig) -> None:
        """Make room for so many results more.

        Raises:
          RioResourceError: the queue may not grow any more.
        """
        if more > self.room_left:
            self._make_room(more, config)
        self.room_left -= more

    def _make_room(self, more: int, config: RioConfig) -> None:
        provider = self.provider
        capacity, charged = provider.completion_queue_usage(self.queue)
        need = charged + more
        if need > capacity:
            limit = min(config.completion_queue_size_max, RIO_MAX_CQ_SIZE)
            if need > limit:
                raise RioResourceError(
                    "results that the completion queue has room for",
                    need=need,
                    limit=limit,
                    remedy="raise completion_queue_size_max or completion_queues in RioConfig, or keep fewer sockets "
                    "open",
                )
            capacity = min(limit, max(need, 2 * capacity))
            provider.resize_completion_queue(self.queue, capacity)
        self.room_left = capacity - charged


@attrs.frozen
class HandedOut:
    """What Trio's manager saw in a tick in which results were handed out. Keeps an empty event list truthy."""

    events: Any


class Collectors:
    """All completion queues that the sockets of one run share, and where the notifier waits for them.

    A queue's completion key is its place in :attr:`all`: they get the first keys of the port.
    """

    def __init__(
        self,
        config: RioConfig,
        provider: Provider,
        port: Port,
        pool: RequestPool,
        counters: Counters,
        handlers: PacketHandlers,
    ) -> None:
        self.config = config
        self.provider = provider
        self.port = port
        self.pool = pool
        self.counters = counters
        self.handlers = handlers
        #: Results are looked for in each tick, and queues are armed only before the run really sleeps.
        self.is_polling: bool = config.notification == "polled" or config.busy_poll_seconds > 0
        self._poll_seconds = math.inf if config.notification == "polled" else config.busy_poll_seconds
        self.is_inline: bool = config.notifier == "inline"
        #: With "event": one event for all queues. A queue that fires while others are being served sets it again.
        self.event: Event | None = provider.create_event() if config.notification == "event" else None
        wanted = config.separate_send_queue
        self._separates_sends: bool = provider.name == "uring" if wanted is None else wanted
        count = config.completion_queues * (1 + self._separates_sends)
        first_key = handlers.add(self, count)
        self.all: list[Collector] = [self._make(first_key + place) for place in range(count)]
        self._receiving = self.all[: config.completion_queues]
        self._sending = self.all[config.completion_queues :]
        #: Signalled queues of which the notifier has to dispatch a batch, in order.
        self.pending: deque[Collector] = deque()
        self.notifier_task: Any = None
        self.is_notifier_waiting: bool = False

    def _make(self, key: int) -> Collector:
        config = self.config
        notification: Notification = None
        if self.event is not None:
            # Not reset by arming: that would wipe out what another queue has just signalled.
            notification = EventNotification(self.event, notify_reset=False)
        elif config.notification == "port":
            notification = PortNotification(self.port, key)
        queue = self.provider.create_completion_queue(config.completion_queue_size, notification)
        pool = self.pool
        return Collector(
            self.provider, queue, self.counters, pool=pool, requests=pool.requests, limit=config.results_per_turn
        )

    # -- admission -----------------------------------------------------------------------------------------

    def reserve(self, receives: int, sends: int) -> tuple[CompletionQueue, CompletionQueue]:
        """Choose the queues of a new socket, and make room for what it may have outstanding.

        Returns the queue for its receives and the one for its sends.

        Raises:
          RioResourceError: the least charged queue may not grow any more.
        """
        config = self.config
        receiving = self._least_charged(self._receiving)
        if not self._separates_sends:
            receiving.reserve(receives + sends, config)
            return receiving.queue, receiving.queue
        sending = self._least_charged(self._sending)
        receiving.reserve(receives, config)
        sending.reserve(sends, config)
        return receiving.queue, sending.queue

    def reserve_in(self, queue: CompletionQueue, more: int) -> None:
        """Make room for more in a queue that a socket has already; errors as :meth:`reserve`."""
        next(collector for collector in self.all if collector.queue is queue).reserve(more, self.config)

    def _least_charged(self, collectors: list[Collector]) -> Collector:
        if len(collectors) == 1:
            return collectors[0]
        usage = self.provider.completion_queue_usage
        return min(collectors, key=lambda collector: usage(collector.queue)[1])

    def usage(self) -> tuple[int, int]:
        """(room, results promised) of all queues together."""
        usages = [self.provider.completion_queue_usage(collector.queue) for collector in self.all]
        return sum(capacity for capacity, _ in usages), sum(charged for _, charged in usages)

    # -- signals -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The notifier is there: arm every queue that is to signal, so that the first result finds it so."""
        if not self.is_polling:
            self.arm()

    def on_packet(self, key: int) -> None:
        """The port brought a queue's packet between two ticks: do what the notifier would do first.

        Waking it would cost one more tick of the run loop. Only what a whole batch leaves over is its work; or all of
        it, if the configuration says so.
        """
        collector = self.all[key]
        collector.note_packet()
        if collector.is_pending:
            return  # the notifier is in the run queue already
        if not self.is_inline or collector.dispatch_batch() == collector.limit:
            self.call_notifier(collector)
        elif not self.is_polling:
            collector.arm()

    def call_notifier(self, collector: Collector) -> None:
        """Let the notifier go on, in its own time, and dispatch a batch of the queue. Several queues take turns."""
        if not self.is_polling:
            self._make_pending(collector)
        if self.event is not None:
            self.event.set()
        elif self.is_notifier_waiting:
            self.is_notifier_waiting = False
            trio.lowlevel.reschedule(self.notifier_task)

    def _make_pending(self, collector: Collector) -> None:
        if not collector.is_pending:
            collector.is_pending = True
            self.pending.append(collector)

    def serve_pending(self) -> None:
        """The notifier's step: a batch of the queue that has waited longest, and arm it if that emptied it."""
        collector = self.pending.popleft()
        collector.is_pending = False
        if collector.dispatch_batch() == collector.limit:
            self._make_pending(collector)
        else:
            collector.arm()  # its packet may come from within, and then it is pending again

    def serve_event(self) -> bool:
        """The event is, or may be, set: dispatch a batch of each queue, then arm them. False: one may have more."""
        self.reset_event()
        full = [collector for collector in self.all if collector.dispatch_batch() == collector.limit]
        if not full:
            self.arm()
        return not full

    def reset_event(self) -> None:
        """Reset the event, and count what it said."""
        assert self.event is not None
        if self.event.is_set:
            self.counters.received += 1
            self.event.reset()

    def serve_event_between_ticks(self) -> bool:
        """As :meth:`on_packet`, for the event. Returns whether it was set."""
        event = self.event
        if event is None or self.is_polling or not self.is_inline or not event.is_set:
            return False
        if not self.serve_event():
            event.set()  # the rest is the notifier's work
        return True

    def arm(self) -> None:
        """Arm every queue."""
        for collector in self.all:
            collector.arm()

    # -- polling -------------------------------------------------------------------------------------------

    def poll(self) -> int:
        """Dispatch a batch of each queue; how many results there were."""
        found = 0
        for collector in self.all:
            found += collector.dispatch_batch()
        return found

    def may_have_results(self) -> bool:
        """Whether there may be results to look for: a request is in use, or a socket has queues of its own."""
        return self.pool.has_requests_in_use() or self.handlers.has_owners()

    def look_or_wait(self, look: Callable[[float], Events], timeout: float) -> tuple[Events, bool]:
        """The tick of a run that polls: look, and go on looking where the run would wait; then arm, and wait.

        Args:
          look: commit what was staged, hand out what is at hand, and wait so many seconds at most for events, or not at
            all if a task can run; falsy if none came in that time.
          timeout: how many seconds the run may wait.

        Returns the events, and whether results were handed out. Neither: the full time has passed.
        """
        runq = _trio.GLOBAL_RUN_CONTEXT.runner.runq
        started = 0.0
        while True:
            events = look(0)
            found = self.poll()
            if events or found or runq or timeout <= 0:
                return events, bool(found or runq)
            if not self.may_have_results():
                return look(timeout), False  # nothing to look for
            now = time.monotonic()
            started = started or now
            if now - started >= min(timeout, self._poll_seconds):
                break
        left = timeout - (now - started)
        if left <= 0:
            return events, False
        self.arm()
        # What came just now may have called the notifier, or be a packet that is here already.
        return look(0 if runq else left), False

    # -- the end -------------------------------------------------------------------------------------------

    def wait_at_the_end(self, timeout_seconds: float) -> None:
        """The run is over: sleep until something may have completed. Blocks the thread."""
        if self.config.notification == "port":
            self.arm()
            self.port.wait(timeout_seconds)
        else:
            self.port.wait(min(timeout_seconds, _END_LOOK_SECONDS))

    def close(self) -> None:
        """Give the event back."""
        if self.event is not None:
            self.event.close()
