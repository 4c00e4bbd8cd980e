"""The engine: one run's provider, completion queues, memory and requests.

A received byte comes up through a :class:`~.completions.Collector`, which dequeues, looks the request up by its
context, and hands it to its channel and task. A byte to be sent goes down through a :class:`~.channel.Channel`,
which takes request and memory from here.

Rules. Everything hangs on the run, nothing on the module. What a completion does is decided by the table in
``requests.py``. How results are collected is ``completions.py``'s and ``notifier.py``'s affair, what the engine says
of itself ``accounting.py``'s."""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

import trio

from .. import _trio
from .._config import SENDS_AT_FIRST
from .._errors import RioCallError
from ..rio import Port, Provider, Status
from . import accounting
from .arena import NO_MEMORY
from .channel import Channel
from .conflicts import check_no_receive_waits, check_no_send_waits
from .leftovers import report
from .resources import Manager, Resources

if TYPE_CHECKING:
    from .._config import RioConfig
    from .._statistics import Ledger, RioStatistics

# How long the end of a run waits for requests that were told to end. They take microseconds; this is for a machine
# that is swapping.
_DRAIN_SECONDS = 5.0

# How often it looks meanwhile, for what another thread has collected and for results whose notification is lost:
# nothing tells it.
_LOOK_AGAIN_SECONDS = 0.05


class Engine(Resources):
    """See the module's docstring. Made by an I/O manager, closed by it."""

    def __init__(self, manager: Manager, provider: Provider, port: Port, config: RioConfig, because: str) -> None:
        super().__init__(manager, provider, port, config)
        self.because = because
        #: The ledger as the run ended; ``None`` until then.
        self.last_ledger: Ledger | None = None
        self.start_notifier: Callable[[Engine], None] | None = None
        #: Called when the run is over, by its own thread; not in a forked child.
        self.at_end: Callable[[], object] | None = None

    # -- channels ----------------------------------------------------------------------------------------

    def attach(self, sock: socket.socket) -> Channel | None:
        """A channel for a socket, or ``None`` when RIO cannot serve it, or the run takes no more.

        Raises:
          RioResourceError: its completion queue may not grow any more.
        """
        if not self.ensure_started() or not self.own_sockets.can_serve(sock):
            return None
        if self.packet_handlers.owner_of(sock) is not None:
            return None
        earlier = self.channel_of(sock.fileno())
        if earlier is not None:
            if earlier.sock is sock:
                return earlier
            earlier.close()  # its socket was closed behind our back, and the number is in use again
        receives = max(1, self.read_ahead_of(sock)) + 1
        sends = min(SENDS_AT_FIRST, self.sends_outstanding_max)
        try:
            receiving, sending = self.collectors.reserve(receives, sends)
            request_queue = self.provider.create_request_queue(sock, receives, 1, sends, 1, receiving, sending, 0)
        except MemoryError:
            return None
        except RioCallError as error:
            if error.code in (Status.EOPNOTSUPP, Status.ENOTSOCK):
                self.own_sockets.forget(sock)
            elif error.code not in NO_MEMORY:  # else there may be some next time
                raise
            return None
        try:
            channel = Channel(self, sock, request_queue, (receives, sends), sending)
            self.channels[channel.fd] = channel
        except MemoryError:
            self.provider.release_socket(request_queue)
            return None
        self.counters.sockets += 1
        return channel

    async def wait_readable_ahead(self, fd: int) -> bool:
        """A readiness wait on a socket that has a channel. False: nothing is special, let the manager wait.

        Raises BusyResourceError when a task receives on the socket.
        """
        channel = self.channel_of(fd)
        if channel is None or channel.fileno() != fd:  # or its socket was closed behind our back
            return False
        check_no_receive_waits(channel)
        if channel.ahead is None or not channel.ahead.is_ahead:
            return False
        return await channel.ahead.receive(0, tries=False) is not None

    def check_writable_wait(self, fd: int) -> None:
        """Raise BusyResourceError if a task's send on the socket has to wait: then none may wait for writability."""
        channel = self.channel_of(fd)
        if channel is not None and channel.fileno() == fd:
            check_no_send_waits(channel)

    async def wait_elsewhere(self, fd: int) -> None:
        """Wait until a socket has news that no receive brings. As :func:`trio.lowlevel.wait_readable`, it may be wrong.

        Raises BusyResourceError when a task receives on the socket.
        """
        channel = self.channel_of(fd)
        if channel is not None:
            check_no_receive_waits(channel)
        await self.manager.wait_elsewhere(fd)

    def notify_closing(self, fd: int) -> None:
        """See :func:`trio.lowlevel.notify_closing`: end what the socket has, and tell the tasks that wait."""
        channel = self.channel_of(fd)
        if channel is not None:
            channel.abandon(wakes=True)
        self.packet_handlers.notify_closing(fd)

    def try_claim(self, sock: socket.socket) -> bool:
        """Let a socket have queues of its own from now on: take it from its channel, if it has one.

        False: RIO cannot serve it, or sends of the channel are in flight, of which a task that has sent may know
        nothing any more.

        Raises:
          BusyResourceError: a task receives on the channel, or it has received ahead.
        """
        if not self.ensure_started() or not self.own_sockets.can_serve(sock):
            return False
        channel = self.channel_of(sock.fileno())
        if channel is not None:
            if channel.sock is sock:
                in_use = trio.BusyResourceError("the socket is in use: make the channel before you use its socket")
                try:
                    check_no_receive_waits(channel)
                except trio.BusyResourceError:
                    raise in_use from None
                if channel.ahead is not None and channel.ahead.is_ahead:
                    raise in_use
                if channel.sends:
                    return False
            channel.abandon()
        return True

    def channel_of(self, fd: int) -> Channel | None:
        """The channel of the socket with this number."""
        return cast("Channel | None", self.channels.get(fd))

    def ensure_started(self) -> bool:
        """Start the notifier if there was none yet. Returns whether requests may be posted."""
        if self.runner is None and not self.is_closed and self.start_notifier is not None:
            start, self.start_notifier = self.start_notifier, None
            start(self)
        return self.runner is not None

    # -- the end -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The notifier is there: take requests of this run."""
        self._set_runner(_trio.current_runner())
        self.leftovers.begin()
        self.collectors.begin()

    def stop_taking(self) -> None:
        """Take no more requests: there is no notifier, and no task of the program."""
        self._set_runner(None)
        self.start_notifier = None

    def _set_runner(self, runner: object) -> None:
        self.runner = runner
        if self.turn is not None:
            self.turn.runner = runner

    def close(self) -> None:
        """End of the run: let lingering sends complete (bounded), abort the rest, free everything."""
        if self.is_closed:
            return
        self.is_closed = True
        self.stop_taking()
        if self.is_foreign:
            self.leftovers.close()
            self.provider.close()
            return
        try:
            self._end()
        finally:
            if self.at_end is not None:
                self.at_end()

    def _end(self) -> None:
        channels = list(self.channels.values())  # one that is dropped meanwhile is ended all the same
        deadline = time.monotonic() + self.config.linger_seconds
        try:
            while self._must_linger() and self._drive(deadline):
                pass
            self.leftovers.do()
            self._end_owners()
            for channel in list(self.lingering):
                self.counters.drained_late += len(channel.sends)
                channel.end_linger()
            held = self.leases.close()
            lost = [channel.sock for channel in channels if channel.abandon()]
            deadline = time.monotonic() + _DRAIN_SECONDS
            while self.provider.outstanding() and self._drive(deadline):
                pass
            self.last_ledger = self.ledger(is_over=True)
        finally:
            self.leftovers.close()
            self.arena.close()
            self.provider.close()
            self.collectors.close()
        for lease in held:
            report(partial(lease.warn, "the run ended while a lease was held"))
        for sock in lost:
            text = (
                "a socket was closed: the run ended with something in it that was received ahead and that nobody read"
            )
            report(partial(warnings.warn, text, ResourceWarning, stacklevel=2, source=sock))

    def _must_linger(self) -> bool:
        """Whether something that was promised to be sent is in flight, on closed sockets or on open ones."""
        is_sending = self.lingering or any(channel.sends for channel in self.channels.values())
        return bool(is_sending or self.packet_handlers.are_lingering())

    def _end_owners(self) -> None:
        for owner in self.packet_handlers.owners():
            owner.end(closes_socket=True)
            if not self.provider.can_cancel:
                owner.sock.close()  # nothing else ends what is posted

    def _drive(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        self.leftovers.do()
        while self.collectors.poll():
            pass
        for owner in self.packet_handlers.owners():
            owner.drain()
        if self.provider.outstanding():
            self.collectors.wait_at_the_end(min(left, _LOOK_AGAIN_SECONDS))
        return True

    # -- what it says of itself ----------------------------------------------------------------------------

    def ledger(self, *, is_over: bool = False) -> Ledger:
        """What was given out, as the engine and as the provider count it."""
        return accounting.ledger(self, is_over=is_over)

    def tasks_waiting(self, *, receive: bool) -> int:
        """Tasks that wait for a request now."""
        return accounting.tasks_waiting(self, receive=receive)

    def statistics(self) -> RioStatistics:
        """A snapshot."""
        return accounting.statistics(self, self.because)
