"""The engine: one run's provider, completion queues, memory and requests.

A received byte comes up through a :class:`~.completions.Collector`, which dequeues, looks the request up by its
context, and hands it to its channel and task. A byte to be sent goes down through a :class:`~.channel.Channel`,
which takes request and memory from here.

Rules. Everything hangs on the run, nothing on the module. What a completion does is decided by the table in
``requests.py``. How results are collected is ``completions.py``'s and ``notifier.py``'s affair, what the engine says
of itself ``accounting.py``'s."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import warnings
import weakref
from collections.abc import Callable, Container
from functools import partial
from typing import TYPE_CHECKING, Protocol

import trio

from .. import _trio
from .._config import SENDS_AT_FIRST
from .._errors import RioCallError, RioError, RioResourceError
from .._statistics import Counters
from ..rio import Port, Provider, Status
from ..rio.checks import raw_type
from . import accounting as _books, conflicts as _conflicts
from .arena import NO_MEMORY, Arena, Slice, unless_without_memory
from .channel import Channel
from .completions import Collectors
from .copies import copy
from .lease import LeaseBook
from .leftovers import Leftovers, report
from .own_sockets import OwnSockets
from .packet_handlers import Others
from .requests import FREE, GENERATION, Request, no_cancel

if TYPE_CHECKING:
    from .._config import RioConfig
    from .._statistics import Ledger, RioStatistics
    from ..rio import Event

_CONTEXT_MASK = (1 << 63) - 1

# Receives that stay posted on a datagram socket where the system keeps nothing that finds none: see RioConfig.
_DATAGRAMS_AHEAD = 32

# Sends that a socket may have outstanding at most, where they complete late.
_SENDS_MAX = 256

# How long the end of a run waits for requests that were told to end. They take microseconds; this is for a machine
# that is swapping.
_DRAIN_SECONDS = 5.0

# How often it looks meanwhile, for what another thread has collected and for results whose notification is lost:
# nothing tells it.
_LOOK_AGAIN_SECONDS = 0.05


class Manager(Protocol):
    """What the engine needs of the I/O manager that it belongs to."""

    #: Ticks of the run loop so far.
    ticks: int

    @property
    def waits(self) -> Container[int]:
        """Readiness waits now, by ``fd << 1 | is_write``."""

    def enter(self) -> None:
        """Let the system take what was staged, and give what it has, at once. Waits for nothing."""

    def commit_from_outside(self) -> None:
        """Something was staged by a host callback while a worker thread waits: start it now (guest mode)."""

    async def wait_elsewhere(self, fd: int) -> None:
        """A readiness wait on a socket, whatever is posted on it, for an error or urgent bytes at least."""

    async def wait_event(self, event: Event) -> None:
        """Wait until an event of the provider's is set. A checkpoint only if it has to wait; may be cancelled."""


class Engine:
    """See the module's docstring. Made by an I/O manager, closed by it."""

    def __init__(self, manager: Manager, provider: Provider, port: Port, config: RioConfig, because: str) -> None:
        self.manager = manager
        self.provider = provider
        self._pid = os.getpid()
        self.config = config
        self.because = because
        self.counters: Counters = Counters()
        self.cancels_requests: bool = config.cancels_requests(provider.can_cancel)
        if self.cancels_requests and not provider.can_cancel:
            raise RioError(f"provider {provider.name!r} cannot cancel one request; use cancellation='detach'")
        detaches = not self.cancels_requests
        self.read_ahead: int = (1 if detaches else 0) if config.read_ahead is None else config.read_ahead
        of_datagrams = self.read_ahead if provider.can_cancel else max(self.read_ahead, _DATAGRAMS_AHEAD)
        of_datagrams = of_datagrams if config.datagram_read_ahead is None else config.datagram_read_ahead
        self._read_ahead = self.read_ahead, of_datagrams
        sends = config.sends_outstanding_max
        self.sends_outstanding_max: int = (_SENDS_MAX if detaches else SENDS_AT_FIRST) if sends is None else sends
        window = (1024 * 1024 if detaches else 0) if config.send_window_bytes is None else config.send_window_bytes
        self.send_window_bytes = window
        self.small_size_bytes: int = config.small_slice_size_bytes
        self.copy_bytes_max: int = config.copy_bytes_max
        self.port = port
        self.arena: Arena = Arena(
            provider, config.small_slice_size_bytes, config.large_slice_size_bytes, config.registered_bytes_max
        )
        self.arena.bulk_size_bytes = config.bulk_slice_size_bytes
        self.leftovers: Leftovers = Leftovers()
        self.leases: LeaseBook = LeaseBook(config.registered_bytes_max // 2, self.leftovers)
        self.requests: list[Request] = []
        # Pools: with a small slice, with a large one, with one of the bulk size, with none.
        self.small: list[Request] = []
        self.large: list[Request] = []
        self.bulk: list[Request] = []
        self.bytes_being_filled: int = 0
        self.bare: list[Request] = []
        self.channels: weakref.WeakValueDictionary[int, Channel] = weakref.WeakValueDictionary()
        self.own_sockets: OwnSockets = OwnSockets(provider)
        self.lingering: set[Channel] = set()
        self.others: Others = Others(self)
        #: The run while it takes requests; ``None`` before its first, and when no task is left.
        self.runner: object = None
        self.collectors: Collectors = Collectors(self)
        self.is_closed: bool = False
        #: The books as the run ended; ``None`` until then.
        self.last_ledger: Ledger | None = None
        self.start_notifier: Callable[[Engine], None] | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether this is a forked child: the requests, and what waits for them, are its parent's."""
        return os.getpid() != self._pid

    def check_process(self) -> None:
        """Raise :class:`RioError` in a forked child."""
        if self.is_foreign:
            raise RioError(f"this run belongs to process {self._pid}; a forked child can start one of its own")

    # -- requests and memory -----------------------------------------------------------------------------

    def take(self, *, large: bool, least_bytes: int = 0) -> Request | None:
        """A free request with a slice: of the size asked for, else of the other; ``None`` when memory is used up.

        A slice of less than ``least_bytes`` is as good as none.
        """
        for is_large in (large, not large):
            if (self.arena.large_size_bytes if is_large else self.small_size_bytes) < least_bytes:
                continue
            pool = self.large if is_large else self.small
            if pool:
                return pool.pop()
            slice_ = self.arena.lease(large=is_large)
            if slice_ is not None:
                return self._make(pool, slice_)
        return None

    def take_bulk(self) -> Request | None:
        """A free request with a slice of the bulk size; ``None`` when all that there may be are in use."""
        if self.bulk:
            return self.bulk.pop()
        slice_ = self.arena.lease_bulk()
        return None if slice_ is None else self._make(self.bulk, slice_)

    def take_to_fill_bytes(self) -> Request | None:
        """A free request with new bytes of the bulk size for a receive to fill; ``None``: slices are to be used.

        As many as there may be slices of that size, which is one that the run does with.
        """
        arena = self.arena
        size = arena.bulk_size_bytes
        if size <= arena.large_size_bytes or (self.bytes_being_filled + 1) * size > arena.bytes_max // 4:
            return None
        made = unless_without_memory(self.provider.register_new_bytes, size)
        if made is None:
            return None
        request = self.take_bare()
        request.registered, request.memory = made
        self.bytes_being_filled += 1
        return request

    def take_to_send_from(self, data: memoryview) -> Request | None:
        """A free request with a caller's own memory for a send; ``None``: that is not to be had, or not cheap."""
        if not self.provider.registers_cheaply:
            return None
        registered = unless_without_memory(self.provider.register_for_sending, data)
        if registered is None:
            return None
        request = self.take_bare()
        request.registered = registered
        return request

    def fill_by_kernel(self, request: Request, data: bytes | bytearray | memoryview) -> None:
        """Copy what may not be touched into a request's memory. If that fails, the request is free again."""
        try:
            copy(request.view[: len(data)], data)
        except BaseException:
            self.finish(request)
            raise

    def has_requests(self) -> bool:
        """Whether there may be results to look for: a request is not in a pool, or others have queues of their own."""
        pooled = len(self.small) + len(self.large) + len(self.bulk) + len(self.bare)
        return len(self.requests) > pooled or self.others.are_any()

    def take_bare(self) -> Request:
        """A free request without a slice."""
        return self.bare.pop() if self.bare else self._make(self.bare, None)

    def _make(self, home: list[Request], slice_: Slice | None) -> Request:
        request = Request(GENERATION | len(self.requests), home, slice_)
        self.requests.append(request)
        return request

    def finish(self, request: Request) -> None:
        """A result was taken, or a post refused: memory and request are free again, under a new generation."""
        if request.registered is not None:
            self.provider.deregister_buffer(request.registered)
            request.registered = None
            if request.memory is not None:
                request.memory = None
                self.bytes_being_filled -= 1
        request.state = FREE
        request.raise_cancel = no_cancel
        request.context = (request.context + GENERATION) & _CONTEXT_MASK
        request.channel = request.task = None
        request.home.append(request)

    # -- channels ----------------------------------------------------------------------------------------

    def attach(self, sock: socket.socket) -> Channel | None:
        """A channel for a socket, or ``None`` when RIO cannot serve it, or the run takes no more.

        Raises:
          RioResourceError: its completion queue may not grow any more.
        """
        if not self.is_taking() or not self.own_sockets.can_serve(sock) or self.others.owner_of(sock) is not None:
            return None
        earlier = self.channels.get(sock.fileno())
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
        channel = Channel(self, sock, request_queue, (receives, sends), sending)
        self.channels[channel.fd] = channel
        return channel

    def read_ahead_of(self, sock: socket.socket) -> int:
        """Receives that stay posted on a socket beyond demand."""
        return self._read_ahead[raw_type(sock) != socket.SOCK_STREAM]

    def grow_sends(self, channel: Channel) -> bool:
        """Let a socket have twice as many sends outstanding. False: it has as many as it may have."""
        receives, sends = channel.limits
        more = min(sends, self.sends_outstanding_max - sends)
        if more <= 0:
            return False
        try:
            self.collectors.reserve_in(channel.send_queue, more)
            self.provider.resize_request_queue(channel.request_queue, receives, sends + more)
        except (RioCallError, RioResourceError):
            return False
        channel.limits = receives, sends + more
        return True

    async def wait_readable_ahead(self, fd: int) -> bool:
        """A readiness wait on a socket that has a channel. False: nothing is special, let the manager wait.

        Raises BusyResourceError when a task receives on the socket.
        """
        channel = self.channels.get(fd)
        if channel is None or channel.fileno() != fd:  # or its socket was closed behind our back
            return False
        if _conflicts.is_receiving(channel):
            raise trio.BusyResourceError("another task is already reading from this socket")
        if channel.ahead is None or not channel.ahead.is_ahead:
            return False
        return await channel.ahead.receive(0, tries=False) is not None

    def check_writable_wait(self, fd: int) -> None:
        """Raise BusyResourceError if a task's send on the socket has to wait: then none may wait for writability."""
        channel = self.channels.get(fd)
        if channel is not None and channel.fileno() == fd:
            _conflicts.check_no_send_waits(channel)

    async def wait_elsewhere(self, fd: int) -> None:
        """Wait until a socket has news that no receive brings. As :func:`trio.lowlevel.wait_readable`, it may be wrong.

        Raises BusyResourceError when a task receives on the socket.
        """
        channel = self.channels.get(fd)
        if channel is not None and _conflicts.is_receiving(channel):
            raise trio.BusyResourceError("another task is already reading from this socket")
        await self.manager.wait_elsewhere(fd)

    def notify_closing(self, fd: int) -> None:
        """See :func:`trio.lowlevel.notify_closing`: end what the socket has, and tell the tasks that wait."""
        channel = self.channels.get(fd)
        if channel is not None:
            channel.abandon(wakes=True)
        self.others.notify_closing(fd)

    def is_taking(self) -> bool:
        """Whether requests may be posted; the first question starts the notifier."""
        if self.runner is None and not self.is_closed and self.start_notifier is not None:
            start, self.start_notifier = self.start_notifier, None
            start(self)
        return self.runner is not None

    def cancel(self, request: Request, channel: Channel) -> None:
        """Ask the provider to end a request early. What comes later is not for it."""
        self.provider.cancel(channel.request_queue, request.context)
        self.manager.commit_from_outside()

    def begin_linger(self, channel: Channel) -> None:
        """A closed socket still has sends in flight: close it when they are done, or the time is over."""
        self.lingering.add(channel)
        # At the very end of a run no task can be started: then close() keeps the time.
        with contextlib.suppress(RuntimeError):
            _trio.spawn_uncounted(self._end_linger_in_time, channel, name="trio_rio linger")

    async def _end_linger_in_time(self, channel: Channel) -> None:
        assert channel.lingered is not None
        with trio.move_on_after(self.config.linger_seconds):
            await channel.lingered.wait()
        if channel.is_lingering:
            self.counters.drained_late += len(channel.sends)
            channel.end_linger()

    # -- the end -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The notifier is there: take requests of this run."""
        self.runner = _trio.current_runner()
        self.leftovers.begin()
        self.collectors.begin()

    def stop_taking(self) -> None:
        """Take no more requests: there is no notifier, and no task of the program."""
        self.runner = None
        self.start_notifier = None

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
        channels = list(self.channels.values())  # one that is dropped meanwhile is ended all the same
        deadline = time.monotonic() + self.config.linger_seconds
        try:
            while self._must_linger() and self._drive(deadline):
                pass
            self.leftovers.do()
            self.others.end()
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
        return bool(is_sending or self.others.are_lingering())

    def _drive(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        self.leftovers.do()
        while self.collectors.poll():
            pass
        self.others.drain()
        if self.provider.outstanding():
            self.collectors.wait_at_the_end(min(left, _LOOK_AGAIN_SECONDS))
        return True

    # -- what it says of itself ----------------------------------------------------------------------------

    def ledger(self, *, is_over: bool = False) -> Ledger:
        """The books: what was given out, as the engine and as the provider count it."""
        return _books.ledger(self, is_over=is_over)

    def tasks_waiting(self, *, receive: bool) -> int:
        """Tasks that wait for a request now."""
        return _books.tasks_waiting(self, receive=receive)

    def statistics(self) -> RioStatistics:
        """A snapshot."""
        return _books.statistics(self)
