"""What the channels of a run share: provider, completion queues, requests, memory, configuration.

Facts. A channel needs a request, memory and a request queue to post; the run needs to know its channels to end them.

Decision. What a channel may ask of the run is here, below it; making channels, and ending the run, is the engine's
(:class:`~.engine.Engine`), above it. Everything hangs on the run, nothing on the module."""

from __future__ import annotations

import os
import socket
import weakref
from typing import TYPE_CHECKING, Any, Protocol

from .._config import SENDS_AT_FIRST
from .._errors import RioCallError, RioError, RioResourceError
from ..rio import Port, Provider, RequestQueue
from ..rio.checks import raw_type
from .arena import Arena
from .completions import Collectors
from .counters import Counters
from .fields import ENGINE_VARIABLE, engine_of_environment, native, native_missing
from .lease import LeaseBook
from .leftovers import Leftovers
from .own_sockets import OwnSockets
from .packet_handlers import PacketHandlers
from .requests import Owner, RequestPool

if TYPE_CHECKING:
    from collections.abc import Container

    from .._config import RioConfig
    from ..rio import CompletionQueue, Event

# Receives that stay posted on a datagram socket where the system keeps nothing that finds none: see RioConfig.
_DATAGRAMS_AHEAD = 32

# Sends that a socket may have outstanding at most, where they complete late.
_SENDS_MAX = 256


class Manager(Protocol):
    """What an engine needs of the I/O manager that it belongs to."""

    @property
    def commits(self) -> int:
        """Calls so far that committed what was staged: one per tick."""

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


class ChannelOfRun(Owner, Protocol):
    """What the run asks of a channel."""

    sock: socket.socket

    def abandon(self) -> bool:
        """The run is over: end the requests. Returns whether something that was received is lost."""

    def end_linger(self) -> None:
        """The time to linger is over: close the socket for good."""

    def tasks_waiting(self, *, receive: bool) -> int:
        """Tasks that wait in the channel, and not for a request of their own."""


class Resources:
    """See the module's docstring. Made by an I/O manager, as an engine."""

    def __init__(self, manager: Manager, provider: Provider, port: Port, config: RioConfig) -> None:
        self.manager = manager
        self.provider = provider
        self._pid = os.getpid()
        self.config = config
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
        #: The first calls of a stream go Trio's own way (:mod:`.._sockets.own_way`).
        self.attaches_late: bool = provider.holds_files and not (detaches or self.read_ahead or window)
        self.copy_bytes_max: int = config.copy_bytes_max
        self.port = port
        self.arena: Arena = Arena(
            provider, config.small_slice_size_bytes, config.large_slice_size_bytes, config.registered_bytes_max
        )
        self.arena.bulk_size_bytes = config.bulk_slice_size_bytes
        self.leftovers: Leftovers = Leftovers()
        self.leases: LeaseBook = LeaseBook(config.registered_bytes_max // 2, self.leftovers)
        self.pool: RequestPool = RequestPool(provider, self.arena, self.cancel)
        #: Why the engine in Python serves; ``None``: that in C does.
        self.why_python: str | None = self._why_python(config)
        self.turn: Any = None if self.why_python is not None else self._make_turn()
        self.channels: weakref.WeakValueDictionary[int, ChannelOfRun] = weakref.WeakValueDictionary()
        self.own_sockets: OwnSockets = OwnSockets(provider)
        self.lingering: set[ChannelOfRun] = set()
        self.packet_handlers: PacketHandlers = PacketHandlers()
        #: The run while it takes requests; ``None`` before its first, and when no task is left.
        self.runner: object = None
        self.collectors: Collectors = Collectors(config, provider, port, self.pool, self.counters, self.packet_handlers)
        self.is_closed: bool = False
        #: False: every socket of the run goes Trio's own way.
        self.serves_sockets: bool = True

    @property
    def engine_name(self) -> str:
        """ "native" or "python", as :attr:`RioConfig.engine` has it."""
        return "python" if self.turn is None else "native"

    def _why_python(self, config: RioConfig) -> str | None:
        """Why that in C does not serve this run, in words; ``None``: it does.

        Raises:
          RioError: it is demanded.
        """
        wanted = config.engine or engine_of_environment()
        if wanted == "python":
            return "engine='python' was asked for" if config.engine else f"{ENGINE_VARIABLE}=python"
        reason = native_missing
        if reason is None and self.provider.native_table is None:
            reason = f"provider {self.provider.name!r} has no engine in C"
        if reason is not None and wanted is not None:
            raise RioError(f"engine 'native' was asked for, and {reason}: ask for 'python', or leave it out")
        return reason

    def _make_turn(self) -> Any:
        """The engine in C for this run."""
        pool = self.pool
        assert self.provider.native_table is not None
        pool.turn = native.Turn(
            *self.provider.native_table, pool.requests, pool.small, pool.large, self.counters, self.copy_bytes_max
        )
        return pool.turn

    @property
    def is_foreign(self) -> bool:
        """Whether this is a forked child: the requests, and what waits for them, are its parent's."""
        return os.getpid() != self._pid

    def check_process(self) -> None:
        """Raise :class:`RioError` in a forked child."""
        if self.is_foreign:
            raise RioError(f"this run belongs to process {self._pid}; a forked child can start one of its own")

    def cancel(self, request_queue: RequestQueue, context: int) -> None:
        """Ask the provider to end a request early. What comes later is not for it."""
        self.provider.cancel(request_queue, context)
        self.manager.commit_from_outside()

    def look(self) -> None:
        """Let posted requests have what is there, and hand the results out."""
        self.manager.enter()
        self.collectors.poll()

    def read_ahead_of(self, sock: socket.socket) -> int:
        """Receives that stay posted on a socket beyond demand."""
        return self._read_ahead[raw_type(sock) != socket.SOCK_STREAM]

    def grow_sends(self, request_queue: RequestQueue, queue: CompletionQueue, limits: tuple[int, int]) -> int:
        """Let a socket have twice as many sends outstanding; how many, or 0 if it has as many as it may have."""
        receives, sends = limits
        more = min(sends, self.sends_outstanding_max - sends)
        if more <= 0:
            return 0
        try:
            self.collectors.reserve_in(queue, more)
            self.provider.resize_request_queue(request_queue, receives, sends + more)
        except (RioCallError, RioResourceError):
            return 0
        return sends + more
