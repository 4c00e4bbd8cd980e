"""Traffic: what is under way on one socket, and which tasks wait for it.

Receiving ahead, the send window, and the rules of conflicts all look at this; the channel, which is made of them, adds
how requests are posted."""

from __future__ import annotations

import abc
import functools
import socket
from typing import TYPE_CHECKING, Any

import attrs

from .._trio import GLOBAL_RUN_CONTEXT
from ..rio import CompletionQueue, RequestQueue, unpack_address
from ..rio.checks import raw_type
from .fields import ChannelFields
from .requests import Request, RequestPool
from .resources import Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container

    from ..rio import Address

# A receive that fills its slice makes a connection busy; this many small ones in a row make it quiet again.
_SMALL_RECEIVES_UNTIL_QUIET = 4

# The number of a channel that is closed: no socket has it, and -1 is that of a closed socket.
NO_FD = -2

# As many addresses are remembered as a busy server has peers.
_address_in = functools.lru_cache(4096)(unpack_address)


class Hot(ChannelFields):
    """What nearly every call looks at."""

    if not TYPE_CHECKING:  # mypy takes the slots of a class of attrs for all that it has
        __slots__ = ()
    turn: Any  # of the engine in C, if that serves the run
    queue: int  # the request queue, for C
    pool: RequestPool
    fd: int  # NO_FD: no request is posted any more
    fileno: Callable[[], int]  # of the socket now: another number if it was closed
    waits: Container[int]  # the manager's readiness waits
    read_key: int  # in the manager's table of readiness waits
    write_key: int
    is_stream: bool
    is_busy: bool  # a receive has filled its slice, and not many small ones have come since
    is_direct: bool  # nothing but a post and a wait stands between a task and its result
    receive_size_bytes: int  # of a stream's receive that names no size
    reader: Request | None  # on demand: the receive that a task waits for
    sends: set[Request]


@attrs.define(eq=False)
class Traffic(Hot, abc.ABC):
    """See the module's docstring."""

    engine: Resources
    sock: socket.socket
    request_queue: RequestQueue
    limits: tuple[int, int]  # of the request queue: receives, sends
    send_queue: CompletionQueue  # where results of sends go
    is_bulk: bool = False  # the last receive filled a large one
    quiet: int = 0  # small receives in a row
    cancelled_readers: tuple[Request, ...] = ()  # receives before it that have not ended
    ahead_waiter: tuple[Any, Callable[[], Any]] | None = None  # for what is received ahead: a task, and how it takes it
    window_waiters: Collection[Any] = ()  # tasks that wait for room in the window

    def __attrs_post_init__(self) -> None:
        self.pool = self.engine.pool
        self.turn = self.pool.turn
        handle = self.request_queue.handle
        self.queue = handle if isinstance(handle, int) else 0
        self.fileno = self.sock.fileno
        self.fd = self.fileno()
        self.waits = self.engine.manager.waits
        self.read_key, self.write_key = self.fd << 1, self.fd << 1 | 1
        self.is_stream = raw_type(self.sock) == socket.SOCK_STREAM
        self.is_busy = False
        self.reader = None
        self.sends = set()

    @property
    def is_closed(self) -> bool:
        """Whether the channel is done with its socket, for good."""
        return self.fd == NO_FD

    def is_usable(self) -> bool:
        """Whether a request may be posted: this run, still taking requests, and the socket is the one it was."""
        return getattr(GLOBAL_RUN_CONTEXT, "runner", None) is self.engine.runner and self.sock.fileno() == self.fd

    def address_of(self, request: Request) -> Address:
        """Where a datagram came from; before it is taken."""
        return _address_in(bytes(request.slice.address))  # type: ignore[union-attr]

    def note_received(self, request: Request) -> None:
        """Learn from a receive how large the slice of the next one should be."""
        count = request.count
        self.is_bulk = count >= self.pool.arena.large_size_bytes
        if count == request.length:
            self.is_busy = True
            self.quiet = 0
        elif count > self.pool.arena.small_size_bytes:
            self.quiet = 0
        else:
            self.quiet += 1
            if self.quiet >= _SMALL_RECEIVES_UNTIL_QUIET:
                self.is_busy = False

    def forget(self, request: Request) -> None:
        """A request has completed, and is not the channel's any more."""
        if self.reader is request:
            self.reader = None
        elif request in self.cancelled_readers:
            self.cancelled_readers = tuple(one for one in self.cancelled_readers if one is not request)
        self.sends.discard(request)

    @abc.abstractmethod
    def keep(self, request: Request) -> None:
        """See :meth:`Owner.keep`."""

    @abc.abstractmethod
    def end_if_sent(self) -> None:
        """See :meth:`Owner.end_if_sent`."""

    def tasks_waiting(self, *, receive: bool) -> int:
        """Tasks that wait for what is received ahead, or for room in the window."""
        return int(self.ahead_waiter is not None) if receive else len(self.window_waiters)
