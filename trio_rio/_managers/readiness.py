"""An I/O manager on readiness: Trio's own of the platform, with the ``portable`` provider beside it.

Facts. The portable provider has a poll set of its own, whose descriptor is readable when a socket in it is
ready. Trio's manager can wait for any descriptor. A task whose socket becomes ready is woken by stock Trio in the tick
that sees it; what is there at once costs one checkpoint. Programs come to depend on such ticks without knowing.

Consequence. One readiness wait, on that descriptor, serves all RIO sockets; Trio's manager needs no change, and its
private structures stay private. But the task that waits there may do no more than wait: what it handed out, its tasks
would see a tick late.

Decision. A subclass of whatever manager Trio has here, with an engine. The *pump*, a system task, keeps up the wait for
the poll set. The provider makes progress between two ticks, whenever Trio's manager saw anything, and results are
handed out there; a packet or an event is made in the run's own thread. Windows has no poll set with a descriptor: where
it has no RIO either, the engine takes no sockets, and all of them go Trio's own way."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import trio

from .. import _trio
from .._config import RioConfig
from .._engine import notifier as _notifier
from .._engine.completions import HandedOut
from .._engine.engine import Engine
from .._statistics import RioIOStatistics
from .._trio import StockIOManager, spawn_uncounted
from .numbers import number_of, number_to_close

if TYPE_CHECKING:
    from ..rio.portable.provider import PortableProvider


class ReadinessIOManager(StockIOManager):
    """Trio's own I/O manager, with RIO on readiness beside it.

    Closes ``provider`` at the end of the run; if it cannot be made the caller does.
    """

    def __init__(self, config: RioConfig, because: str, provider: PortableProvider) -> None:
        super().__init__()
        self.commits: int = 0
        self.waits: Counter[int] = Counter()  # fd << 1 | is_write -> tasks
        self.provider: PortableProvider = provider
        self._packets: list[int] = []  # keys of the queues that signalled in this tick
        self._thread = threading.get_ident()
        self._has_pump = False
        self._is_processing = False
        try:
            port = self._port = self.provider.create_port()
            self.engine: Engine = Engine(self, self.provider, port, config, because)
        except BaseException:
            super().close()
            raise
        port.on_packet = self._on_packet
        if self.provider.fileno() >= 0:
            self.engine.start_notifier = self._start
        self._collectors = self.engine.collectors
        self._serve_packet = self.engine.packet_handlers.serve

    def _start(self, engine: Engine) -> None:
        _notifier.start_notifier(engine)
        if engine.runner is not None:
            self._has_pump = True
            self.provider.drive()
            spawn_uncounted(self._pump, name="trio_rio readiness")

    async def _pump(self) -> None:
        """Have Trio's manager see it when the poll set is readable; :meth:`process_events` does the rest."""
        while True:
            await super().wait_readable(self.provider.fileno())

    def _on_packet(self, key: int) -> None:
        """Keep a packet for :meth:`_serve`. One that a guest's host caused between two ticks has to end the wait."""
        self._packets.append(key)
        if not self._is_processing and _trio.is_in_host():
            self.force_wakeup()

    def _serve(self) -> None:
        packets, self._packets = self._packets, []
        for key in packets:
            self._serve_packet(key)
        self._collectors.serve_event_between_ticks()

    def statistics(self) -> RioIOStatistics:  # type: ignore[override]  # the platform's own has other fields
        """Tasks that wait, on readiness and on requests."""
        writers = sum(count for key, count in self.waits.items() if key & 1)
        return RioIOStatistics(
            tasks_waiting_read=self.waits.total() - writers + self.engine.tasks_waiting(receive=True),
            tasks_waiting_write=writers + self.engine.tasks_waiting(receive=False),
        )

    def close(self) -> None:
        """End of the run. Packets go to the port again, where the engine waits for the last of them."""
        engine = getattr(self, "engine", None)  # Trio's __del__ closes what has failed to be made
        try:
            if engine is not None:
                self._port.on_packet = None
                engine.close()
        finally:
            super().close()

    def get_events(self, timeout: float) -> Any:
        """Trio's own, after the posts of this tick were tried and what completed was handed out."""
        if threading.get_ident() != self._thread:
            return super().get_events(timeout)
        self.commits += 1
        if not self._collectors.is_polling:
            return self._look(timeout)
        events, is_found = self._collectors.look_or_wait(self._look, timeout)
        return HandedOut(events) if is_found else events

    def _look(self, timeout: float) -> Any:
        self.provider.commit_all()
        if not self._packets and self._collectors.event is None:
            return super().get_events(timeout)
        self._serve()
        if not (self._packets or _trio.GLOBAL_RUN_CONTEXT.runner.runq):
            return super().get_events(timeout)
        # The host of a guest would wait for more if this were nothing.
        return HandedOut(super().get_events(0))

    def process_events(self, events: Any) -> None:
        """Trio's own, after which the provider serves what is ready."""
        while isinstance(events, HandedOut):  # of the look, and of the looking again
            events = events.events
        self._is_processing = True
        try:
            super().process_events(events)
            if events and self._has_pump:
                self.provider.progress()
                self._serve()
                if self._collectors.is_polling:
                    self._collectors.poll()
        finally:
            self._is_processing = False

    def enter(self) -> None:
        """See :meth:`Manager.enter`. Progress starts what is deferred, too."""
        self.provider.progress()

    def commit_from_outside(self) -> None:
        """See :meth:`Manager.commit_from_outside`. What completes at once ends the wait: by its packet, or here."""
        if _trio.is_in_host():
            self.provider.commit_all()
            if self._collectors.is_polling:
                self.force_wakeup()

    async def wait_readable(self, fd: Any) -> None:
        """See :func:`trio.lowlevel.wait_readable`."""
        self.engine.check_process()
        fd = number_of(fd)
        if not await self.engine.wait_readable_ahead(fd):
            await self.wait_elsewhere(fd)

    async def wait_elsewhere(self, fd: int) -> None:
        self.waits[fd << 1] += 1
        try:
            await super().wait_readable(fd)
        finally:
            self._end_wait(fd << 1)

    async def wait_writable(self, fd: Any) -> None:
        """See :func:`trio.lowlevel.wait_writable`."""
        self.engine.check_process()
        fd = number_of(fd)
        self.engine.check_writable_wait(fd)
        self.waits[fd << 1 | 1] += 1
        try:
            await super().wait_writable(fd)
        finally:
            self._end_wait(fd << 1 | 1)

    async def wait_event(self, event: Any) -> None:
        if event.is_set:
            await trio.lowlevel.checkpoint()
            return
        task = trio.lowlevel.current_task()

        def go_on() -> None:
            event.on_set = None
            trio.lowlevel.reschedule(task)

        def abort(_: object) -> trio.lowlevel.Abort:
            event.on_set = None
            return trio.lowlevel.Abort.SUCCEEDED

        event.on_set = go_on
        await trio.lowlevel.wait_task_rescheduled(abort)

    def notify_closing(self, fd: Any) -> None:
        """See :func:`trio.lowlevel.notify_closing`. A forked child shares the poll set, and must leave it alone."""
        if not self.engine.is_foreign and (number := number_to_close(fd)) is not None:
            self.engine.notify_closing(number)
            super().notify_closing(number)

    def _end_wait(self, key: int) -> None:
        self.waits[key] -= 1
        if not self.waits[key]:
            del self.waits[key]
