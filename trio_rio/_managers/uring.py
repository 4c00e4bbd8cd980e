"""An I/O manager for Trio on one io_uring: requests, readiness waits and wake-ups in one place.

Facts
=====
Trio asks an I/O manager for four things: wait for events, process them, readiness waits, and a wake-up from any thread.
``get_events`` must be falsy exactly if its full time passed. In guest mode it is called in a worker thread too.

A request of io_uring holds its file, so the file closes for its peer only when the request has ended. What waits in
an epoll set holds nothing: a file that is closed without a word is gone at once, and so is what was waited for. The
kernel ends an operation with the thread that submitted it; Trio's worker threads end after ten idle seconds.

Consequence
===========
One call per tick submits what the tasks staged and waits. A closed socket's requests must be cancelled before the
close; readiness waits need nobody to tell them. Only the run's own thread may submit, cancel or reap.

Decision
========
- ``get_events`` is one ``rio_wait``. In another thread it only watches the descriptors of ring and epoll set.
- With an engine in C, and queues whose packets are served in place, a tick is C's (``_engine/native/tick.c``): a
  run that waits for one connection does little else. The methods here then do what is unusual.
- Readiness waits are in the core's epoll set (``rio/native/readiness.c``), each with a token of its own; the table of
  waits says who waits for what. They begin and end at once, as Trio's own do.
- ``notify_closing`` cancels requests and enters the kernel at once, so that the caller's close is the last reference.
- RIO results arrive as packets of the engine's completion queues, under the ring's own port. An event of theirs is an
  eventfd, and the wait for it a readiness wait like any other.
"""

from __future__ import annotations

import errno
import os
import struct
from math import ceil
from select import POLLIN, POLLOUT, POLLPRI, poll
from threading import get_ident
from typing import TYPE_CHECKING, Any

import outcome
import trio
from trio.lowlevel import reschedule

from .. import _trio
from .._config import RioConfig
from .._engine.engine import Engine
from .._engine.fields import native
from .._engine.notifier import start_notifier
from .._statistics import RioIOStatistics
from .._trio import WaitTaskRescheduled, async_yield
from .numbers import NUMBER_MAX, number_of, number_to_close

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from .._trio import Task
    from ..rio.types import Port
    from ..rio.uring.provider import UringProvider

_EVENT = struct.Struct("=IiQ")  # rio_event
_PACKET = 1
_EVENTS_AT_ONCE = 1024
_NANOSECONDS = 1_000_000_000

# How the kernel says so.
_NO_MEMORY = (errno.ENOMEM, errno.EAGAIN)

# What get_events returns besides a count of events: nothing came but the time is not over; and, from a worker
# thread, that the run's own thread should look.
_NOTHING = -1
_LOOK = -2


class UringIOManager:
    """Trio's I/O manager on io_uring. Made before the run's context exists, in the thread that will run it.

    Closes ``provider`` at the end of the run; if it cannot be made the caller does.
    """

    def __init__(self, config: RioConfig, because: str, provider: UringProvider) -> None:
        self._commits = 0
        self.waits: dict[int, int] = {}  # fd << 1 | is_write -> token
        self._tasks: dict[int, tuple[int, Task]] = {}  # token -> key of the wait, task
        self.provider: UringProvider = provider
        self._core = self.provider.core
        self._lib = self.provider.lib
        self._wait: Callable[..., int] = self._lib.rio_wait
        self._poll_add = self._lib.rio_poll_add
        self._events = self.provider.ffi.new("rio_event[]", _EVENTS_AT_ONCE)
        self._events_view = memoryview(self.provider.ffi.buffer(self._events))
        self._thread = get_ident()
        info = self.provider.info()
        self._watch = poll()
        self._watch.register(info.ring_fd, POLLIN)
        self._watch.register(info.set_fd, POLLIN)
        port: Port = self.provider.own_port()
        self.engine: Engine = Engine(self, self.provider, port, config, because)
        self.engine.start_notifier = start_notifier
        channels: Any = self.engine.channels
        self._channels: Container[int] = channels.data  # some may have gone; but a look costs a tenth
        self._owned = self.engine.packet_handlers.owned_numbers()
        self._collectors = self.engine.collectors
        self._serve_packet = self.engine.packet_handlers.serve
        self._is_polling = self._collectors.is_polling
        event: Any = self._collectors.event
        self._event = event
        self._is_simple = event is None and not self._is_polling
        self._event_key = -1 if event is None else event.fd << 1
        self._tick = self._tick_in_c()

    def _tick_in_c(self) -> Any:
        """What takes the place of :meth:`get_events` and :meth:`process_events`, or ``None``: these two serve."""
        collectors, provider = self._collectors, self.provider
        if self.engine.turn is None or not self._is_simple or not collectors.is_inline:
            return None
        tick = native.Tick(
            self.engine.turn,
            self.engine.pool,
            [(collector, collector.queue.handle, collector.limit) for collector in collectors.all],
            provider.postponed,
            int(provider.ffi.cast("uintptr_t", self._events)),
            _EVENTS_AT_ONCE,
            self._thread,
            get_events=_METHODS[0],
            process_events=_METHODS[1],
            manager=self,
            say_nothing=self._nothing,
            serve_event=self._serve_event,
            on_packet=collectors.on_packet,
            call_notifier=collectors.call_notifier,
            note_dequeued=provider.note_dequeued,
        )
        vars(self).update(get_events=tick.get_events, process_events=tick.process_events)
        return tick

    @property
    def commits(self) -> int:
        """See :attr:`Manager.commits`."""
        return self._commits + (0 if self._tick is None else int(self._tick.commits))

    def statistics(self) -> RioIOStatistics:
        """Tasks that wait, on readiness and on requests."""
        writers = sum(key & 1 for key in self.waits)
        readers = len(self.waits) - writers - (self._event_key in self.waits)
        return RioIOStatistics(
            tasks_waiting_read=readers + self.engine.tasks_waiting(receive=True),
            tasks_waiting_write=writers + self.engine.tasks_waiting(receive=False),
        )

    def close(self) -> None:
        """End of the run; closes the ring."""
        self.engine.close()

    def force_wakeup(self) -> None:
        """Make ``get_events`` return; from any thread."""
        self.provider.wake()

    def get_events(self, timeout: float) -> int:
        """Commit what was staged, and wait. The number of events; 0 exactly if the full time passed."""
        if get_ident() != self._thread:
            return self._watch_ring(timeout)
        self._commits += 1
        if self._is_simple:
            count = self._wait(self._core, 0, ceil(timeout * _NANOSECONDS), self._events, _EVENTS_AT_ONCE)
            return count if count >= 0 else self._nothing(count)
        if self._is_polling:
            count, is_found = self._collectors.look_or_wait(self._look, timeout)
        else:
            count = self._look(timeout)
            is_found = self._collectors.serve_event_between_ticks()
        if count == 0 and self._event is not None and self._event.is_set:
            # It was set within this very call, and the wait for it has not ended yet: that is not nothing.
            count = self._look(0) or _NOTHING
        return count or (_NOTHING if is_found else 0)

    def _look(self, timeout: float) -> int:
        count: int = self._wait(self._core, 0, ceil(timeout * _NANOSECONDS), self._events, _EVENTS_AT_ONCE)
        return count if count >= 0 else self._nothing(count)

    @staticmethod
    def _nothing(code: int) -> int:
        if code == -errno.EINTR:
            return _NOTHING
        reason = "for seconds the kernel has had no memory for requests" if -code in _NO_MEMORY else "unexpected"
        raise OSError(-code, f"io_uring_enter failed with {errno.errorcode.get(-code, -code)}: {reason}")

    def _watch_ring(self, timeout: float) -> int:
        return _LOOK if self._watch.poll(ceil(timeout * 1000)) else 0

    def process_events(self, events: Any) -> None:
        """Wake the tasks whose waits ended, and the notifier if its packet came."""
        if not events:  # also the literal [] that guest mode begins with
            return
        count: int = self.get_events(0) if events == _LOOK else events
        if count <= 0:
            return
        view = self._events_view
        events = _EVENT.iter_unpack(view[: count * _EVENT.size]) if count > 1 else (_EVENT.unpack_from(view),)
        for event in events:
            self._serve_event(*event)

    def _serve_event(self, kind: int, result: int, key: int) -> None:
        if kind == _PACKET:
            self._serve_packet(key)
            return
        waiting = self._tasks.pop(key, None)
        if waiting is None:
            return  # notify_closing came between the events and us
        wait, task = waiting
        del self.waits[wait]
        if result < 0:
            reschedule(task, outcome.Error(OSError(-result, os.strerror(-result))))
        else:
            reschedule(task)

    def enter(self) -> None:
        """See :meth:`Manager.enter`."""
        self._lib.rio_flush(self._core, 0)

    def commit_from_outside(self) -> None:
        """See :meth:`Manager.commit_from_outside`."""
        if _trio.is_in_host():
            self._lib.rio_flush(self._core, 0)
            self.provider.wake()

    async def wait_readable(self, fd: Any) -> None:
        """See :func:`trio.lowlevel.wait_readable`."""
        if type(fd) is not int or not 0 <= fd <= NUMBER_MAX:
            fd = number_of(fd)
        if fd in self._channels and await self.engine.wait_readable_ahead(fd):
            return
        (await async_yield(self._begin_wait(fd, fd << 1, POLLIN))).unwrap()

    async def wait_writable(self, fd: Any) -> None:
        """See :func:`trio.lowlevel.wait_writable`."""
        if type(fd) is not int or not 0 <= fd <= NUMBER_MAX:
            fd = number_of(fd)
        if fd in self._channels:
            self.engine.check_writable_wait(fd)
        (await async_yield(self._begin_wait(fd, fd << 1 | 1, POLLOUT))).unwrap()

    async def wait_elsewhere(self, fd: int) -> None:
        """See :meth:`Manager.wait_elsewhere`. Errors are reported whatever is asked for."""
        (await async_yield(self._begin_wait(fd, fd << 1, POLLPRI))).unwrap()

    async def wait_event(self, event: Any) -> None:
        """See :meth:`Manager.wait_event`."""
        (await async_yield(self._begin_wait(event.fd, event.fd << 1, POLLIN))).unwrap()

    def _begin_wait(self, fd: int, key: int, mask: int) -> WaitTaskRescheduled:
        """Register the current task's wait; what it yields to Trio, to be resumed at the end of the wait."""
        if key in self.waits:
            raise trio.BusyResourceError("another task is already reading / writing this fd")
        task = trio.lowlevel.current_task()
        token: int = self._poll_add(self._core, fd, mask)
        if token < 0:
            self.engine.check_process()
            raise OSError(-token, os.strerror(-token))
        self.waits[key] = token
        self._tasks[token] = (key, task)

        def abort(_: object) -> trio.lowlevel.Abort:
            self._end_wait(key)
            return trio.lowlevel.Abort.SUCCEEDED

        return WaitTaskRescheduled(abort)

    def _end_wait(self, key: int) -> Task | None:
        token = self.waits.pop(key, None)
        if token is None:
            return None
        self._lib.rio_poll_remove(self._core, token)
        return self._tasks.pop(token)[1]

    def notify_closing(self, fd: Any) -> None:
        """See :func:`trio.lowlevel.notify_closing`."""
        number = number_to_close(fd)
        if number is None:
            return
        if number in self._channels or number in self._owned:
            self.engine.notify_closing(number)
        for key in (number << 1, number << 1 | 1):
            if key in self.waits and (task := self._end_wait(key)) is not None:
                error = trio.ClosedResourceError("another task closed this fd")
                reschedule(task, outcome.Error(error))
        self._lib.rio_flush(self._core, 1)


# What a tick in C takes the place of.
_METHODS = (UringIOManager.get_events, UringIOManager.process_events)
