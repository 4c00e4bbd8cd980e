"""An I/O manager for Trio on Windows: Trio's own, whose completion port RIO's completion queues use as well.

Facts
=====
Trio's manager waits on one I/O completion port. It tells its own packets by their key, and hands a packet with any
other key to whatever is entered for that key in ``_completion_key_queues``; ``monitor_completion_key`` is the public
way in, deprecated, and costs a queue and a task. Readiness of sockets is AFD's, a driver call of its own for each
socket. A RIO socket with a receive posted is never readable for AFD: what comes goes to the receive.

Consequence
===========
RIO needs a key that Trio will not give out, and something at that key that takes the packet within the tick.

Decision
========
- The key is the next of Trio's own counter, one for all completion queues, whose packets differ in their OVERLAPPED.
  What stands there has Trio's ``put_nowait``, and serves the completion queue at once: nothing else of Trio's manager
  is changed, so AFD, overlapped pipes and processes are as they were.
- ``get_events`` commits the deferred requests of the tick, one call for each direction of a socket that has some, and
  then waits. In a guest run only the run's own thread commits, since Windows ends the I/O of a thread that ends; a
  host's callback commits by itself.
- Where no notification comes the run looks for itself now and then (:mod:`._silence`).
- A readiness wait on a socket that receives ahead is served by the channel.
- An event of the completion queues' is waited for in a thread, as Trio waits for any handle. It may be set before that
  thread has said so; then a tick is not one in which nothing came.
- A run that polls in guest mode sleeps in a worker thread all the same. So its queues are armed before; and where they
  have no notification the worker looks up every millisecond.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .. import _trio
from .._config import RioConfig
from .._engine.completions import HandedOut
from .._engine.engine import Engine
from .._engine.notifier import start_notifier
from .._engine.packet_handlers import PacketHandlers
from .._statistics import WindowsRioIOStatistics
from .._trio import StockIOManager
from .silence import Silence

if TYPE_CHECKING:
    from ..rio.winsock.provider import WinsockProvider
    from ..rio.winsock.signals import WinsockPort

assert not TYPE_CHECKING or sys.platform == "win32"

# How long a guest run that polls sleeps at a time.
_LOOK_SECONDS = 0.001


@attrs.frozen(eq=False)
class _Packets:
    """What Trio's manager finds at the key of the completion queues."""

    port: WinsockPort
    handlers: PacketHandlers
    silence: Silence

    def put_nowait(self, packet: Any) -> None:
        """A packet came."""
        self.silence.is_broken = True
        key = self.port.key_of(packet.lpOverlapped)
        if key is not None:
            self.handlers.serve(key)


class WindowsRioManager(StockIOManager):
    """Trio's own I/O manager, with RIO on its completion port.

    Closes ``provider`` at the end of the run; if it cannot be made the caller does.
    """

    def __init__(self, config: RioConfig, because: str, provider: WinsockProvider) -> None:
        super().__init__()
        self.commits = 0
        self.waits: Counter[int] = Counter()  # handle << 1 | is_write -> tasks
        self._thread = threading.get_ident()
        self.provider = provider
        try:
            self._key = next(self._completion_key_counter)
            port = self.provider.adopt_port(self.current_iocp(), self._key)
            self.engine = Engine(self, self.provider, port, config, because)
        except BaseException:
            super().close()
            raise
        self.engine.start_notifier = start_notifier
        self._collectors = self.engine.collectors
        self._silence = Silence(super().get_events, self.engine.collectors.may_have_results, self.provider.unannounced)
        self._completion_key_queues[self._key] = _Packets(port, self.engine.packet_handlers, self._silence)
        self._is_polled = self.engine.config.notification == "polled"

    def statistics(self) -> WindowsRioIOStatistics:
        """Tasks that wait, on readiness and on requests, and Trio's own counts."""
        stock = super().statistics()
        return WindowsRioIOStatistics(
            tasks_waiting_read=stock.tasks_waiting_read + self.engine.tasks_waiting(receive=True),
            tasks_waiting_write=stock.tasks_waiting_write + self.engine.tasks_waiting(receive=False),
            tasks_waiting_overlapped=stock.tasks_waiting_overlapped,
            completion_key_monitors=stock.completion_key_monitors - (self._key in self._completion_key_queues),
        )

    def close(self) -> None:
        """End of the run; the port is closed after the last completion queue that uses it."""
        engine = getattr(self, "engine", None)  # Trio's __del__ closes what has failed to be made
        if engine is not None:
            engine.close()
        super().close()

    def get_events(self, timeout: float) -> Any:
        """Commit what was deferred, and wait as Trio does."""
        if threading.get_ident() != self._thread:
            return self._wait_beside(timeout)
        self.commits += 1
        collectors = self._collectors
        if collectors.is_polling:
            events, is_found = collectors.look_or_wait(self._look, timeout)
            if not (events or is_found or self._is_polled) and _trio.GLOBAL_RUN_CONTEXT.runner.is_guest:
                collectors.arm()
        else:
            events, is_found = self._look(timeout), False
        if is_found or (not events and collectors.event is not None and collectors.event.is_set):
            return HandedOut(events)
        return events

    def _look(self, timeout: float) -> Any:
        self.provider.commit_all()
        if self.provider.take_was_posted():
            self._silence.is_broken = True
        return self._silence.wait(timeout)

    def _wait_beside(self, timeout: float) -> Any:
        """In a worker thread of a guest run: wait, and leave the rest to the run's own thread."""
        is_looking = self._is_polled and self.engine.collectors.may_have_results() and timeout > _LOOK_SECONDS
        if is_looking:
            return HandedOut(super().get_events(_LOOK_SECONDS))
        return self._silence.wait(timeout)

    def process_events(self, events: Any) -> None:
        """Trio's own."""
        super().process_events(events.events if isinstance(events, HandedOut) else events)

    def enter(self) -> None:
        self.provider.commit_all()

    def commit_from_outside(self) -> None:
        if _trio.is_in_host():
            self.provider.commit_all()

    async def wait_event(self, event: Any) -> None:
        await trio.lowlevel.WaitForSingleObject(event.handle)

    async def wait_readable(self, sock: Any) -> None:
        """See :func:`trio.lowlevel.wait_readable`."""
        number = _number_of(sock)
        if await self.engine.wait_readable_ahead(number):
            return
        await self._wait(super().wait_readable, sock, number << 1)

    async def wait_elsewhere(self, fd: int) -> None:
        await self._wait(super().wait_readable, fd, fd << 1)

    async def wait_writable(self, sock: Any) -> None:
        """See :func:`trio.lowlevel.wait_writable`."""
        number = _number_of(sock)
        self.engine.check_writable_wait(number)
        await self._wait(super().wait_writable, sock, number << 1 | 1)

    def notify_closing(self, sock: Any) -> None:
        """See :func:`trio.lowlevel.notify_closing`."""
        self.engine.notify_closing(_number_of(sock))
        super().notify_closing(sock)

    async def _wait(self, wait: Any, sock: Any, key: int) -> None:
        self.waits[key] += 1
        try:
            await wait(sock)
        finally:
            self.waits[key] -= 1
            if not self.waits[key]:
                del self.waits[key]


def _number_of(sock: Any) -> int:
    """The handle of a socket; -1 for what Trio's own code must judge, a cffi handle among it."""
    if isinstance(sock, int):
        return sock
    fileno = getattr(sock, "fileno", None)
    return -1 if fileno is None else int(fileno())
