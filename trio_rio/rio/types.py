"""The structures, constants and handles of Registered I/O, as Python objects.

The names are those of the Windows headers [mswsock.h, mswsockdef.h]; values are theirs too, on every platform.
"""

from __future__ import annotations

import abc
import socket
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple, NoReturn, Protocol, TypeAlias

import attrs

from .errors import RioError, error_from_status

#: The names of the providers.
ProviderName: TypeAlias = Literal["winsock", "uring", "portable"]

# Flags of a request [mswsockdef.h].
#: The request's result is no reason to signal.
RIO_MSG_DONT_NOTIFY = 1
#: The request may wait for a commit, or for the next plain request of its direction.
RIO_MSG_DEFER = 2
#: A receive completes when its slice is full, or the stream ends.
RIO_MSG_WAITALL = 4
#: No request: start the deferred ones of this direction.
RIO_MSG_COMMIT_ONLY = 8
# Not RIO's, and only for trio_rio itself: a send on a stream completes when the system has taken a part.
MSG_PART = 16
ALL_FLAGS = RIO_MSG_DONT_NOTIFY | RIO_MSG_DEFER | RIO_MSG_WAITALL | RIO_MSG_COMMIT_ONLY

#: The largest size of a completion queue, in results.
RIO_MAX_CQ_SIZE = 0x8000000
#: What RIODequeueCompletion answers for a damaged queue; here that is a :class:`RioInternalError`.
RIO_CORRUPT_CQ = 0xFFFFFFFF
#: The id of no registration: 32-bit all ones, on 64-bit Windows too.
RIO_INVALID_BUFFERID = 0xFFFFFFFF
#: The type of a notification by an event.
RIO_EVENT_COMPLETION = 1
#: The type of a notification by a packet at a port.
RIO_IOCP_COMPLETION = 2

#: In the flat calls: "no buffer here", where the table would take a NULL RIO_BUF pointer.
NO_BUFFER = 0

#: One dequeued record in the flat form: status, bytes transferred, socket context, request context.
RawResult: TypeAlias = tuple[int, int, int, int]


class BufferSlice(NamedTuple):
    """RIO_BUF: ``length`` bytes from ``offset`` of the registration ``buffer_id``."""

    #: The RIO_BUFFERID of the registration.
    buffer_id: int
    #: Where the slice begins, in bytes from the start of the registration.
    offset: int
    #: How long it is, in bytes.
    length: int


#: What RIOReceiveEx and RIOSendEx take: data, local address, remote address, control, flags.
ExtendedSlices: TypeAlias = tuple[
    BufferSlice | None, BufferSlice | None, BufferSlice | None, BufferSlice | None, BufferSlice | None
]


class RioResult(NamedTuple):
    """RIORESULT: how one request ended.

    ``status`` is 0 or a Winsock code on every platform; :attr:`error` makes an :class:`OSError` of it.
    """

    #: 0 for success, else a code of :class:`Status`, or one that :func:`errno_from_status` knows.
    status: int
    #: Bytes received or sent.
    bytes_transferred: int
    #: The number that the socket's request queue was made with.
    socket_context: int
    #: The number that the request was posted with.
    request_context: int

    @property
    def error(self) -> OSError | None:
        """``None`` for success, else an :class:`OSError` of the fitting subclass."""
        return error_from_status(self.status) if self.status else None


class Port(abc.ABC):
    """A completion port: collects one packet from each completion queue that notifies.

    Belongs to the provider that made it. :meth:`wait` is GetQueuedCompletionStatusEx.
    """

    @abc.abstractmethod
    def wait(self, timeout_seconds: float | None) -> list[int]:
        """Take the completion keys of the packets that have come, waiting for the first.

        Args:
          timeout_seconds: how long to wait at most; 0 looks and returns, ``None`` waits for ever.

        Returns an empty list when the time is over, or after :meth:`wake`. Not a checkpoint: blocks the thread.
        """

    @abc.abstractmethod
    def wake(self) -> None:
        """Make a :meth:`wait` that is running, or else the next one, return. From any thread."""

    @abc.abstractmethod
    def close(self) -> None:
        """Forget the port and the packets in it. Twice is allowed."""


class Event(abc.ABC):
    """A manual-reset event that a completion queue can set."""

    @abc.abstractmethod
    def wait(self, timeout_seconds: float | None) -> bool:
        """Block the thread until the event is set; False when the time is over first."""

    @property
    @abc.abstractmethod
    def is_set(self) -> bool:
        """Whether it is set; never blocks."""

    @abc.abstractmethod
    def set(self) -> None:
        """Set it; wakes waiters."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Clear it."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give its resources back. Twice is allowed."""


@attrs.frozen(eq=False)
class EventNotification:
    """RIO_NOTIFICATION_COMPLETION of type RIO_EVENT_COMPLETION."""

    #: Set when the queue is armed and has a qualifying completion.
    event: Event
    #: Whether ``notify`` resets the event as it arms.
    notify_reset: bool = True
    #: RIO_EVENT_COMPLETION.
    type: ClassVar[int] = RIO_EVENT_COMPLETION


@attrs.frozen(eq=False)
class PortNotification:
    """RIO_NOTIFICATION_COMPLETION of type RIO_IOCP_COMPLETION."""

    #: Gets one packet when the queue is armed and has a qualifying completion.
    port: Port
    #: The number that comes back from :meth:`Port.wait`, 0 .. 2**63-1.
    completion_key: int
    #: RIO_IOCP_COMPLETION.
    type: ClassVar[int] = RIO_IOCP_COMPLETION


#: How a completion queue tells that it has results; ``None`` for a queue that is polled only.
Notification: TypeAlias = EventNotification | PortNotification | None

#: The flat form of a post: buffer id, offset, length, flags, request context; the result is 0 or a code.
PostFunction: TypeAlias = Callable[[int, int, int, int, int], int]
#: The same with an address: its buffer id and offset come after the length.
PostAddressedFunction: TypeAlias = Callable[[int, int, int, int, int, int, int], int]
#: The flat form of a commit; the result is 0 or a code.
CommitFunction: TypeAlias = Callable[[], int]


# Why a queue can be used no more.
SOCKET_CLOSED = "the socket of this RequestQueue is closed; its queue died with it (make a new one)"
_QUEUE_CLOSED = "this CompletionQueue is closed"
PROVIDER_CLOSED = "this provider is closed"


def _refusal(message: str) -> Callable[..., NoReturn]:
    def refuse(*_: object) -> NoReturn:
        raise RioError(message)

    return refuse


class HandleProvider(Protocol):
    """The provider of a handle, as far as its holder may need it: see :class:`~.api.Provider`."""

    name: ClassVar[ProviderName]
    can_cancel: ClassVar[bool]

    def raise_for(self, function: str, code: int, detail: str = "") -> NoReturn: ...
    def completion_queue_usage(self, completion_queue: CompletionQueue) -> tuple[int, int]: ...
    def try_sends(self, request_queue: RequestQueue) -> bool: ...
    def close_socket(self, request_queue: RequestQueue) -> None: ...
    def release_socket(self, request_queue: RequestQueue) -> None: ...
    def rebind_socket(self, request_queue: RequestQueue, sock: socket.socket) -> None: ...


@attrs.define(eq=False)
class RequestQueue:
    """RIO_RQ: one socket's credits and the order of its requests. Made by a provider, never by hand.

    The ``post_*`` functions are the flat forms. Each returns 0 or a code that :meth:`Provider.raise_for` can raise (a
    Winsock code, or one of the provider's own when it is closed or belongs to another process), and takes
    ``(buffer_id, offset, length, flags, request_context)``; the addressed ones have
    ``address_buffer_id, address_offset`` after ``length``. ``NO_BUFFER`` stands for NULL.
    """

    #: The provider that made it.
    provider: HandleProvider
    #: The socket that it belongs to.
    socket: socket.socket
    #: The number that comes back in each result of this socket.
    socket_context: int
    #: RIOReceive, flat.
    post_receive: PostFunction
    #: RIOSend, flat.
    post_send: PostFunction
    #: RIOReceiveEx with a place for the sender's address, flat.
    post_receive_from: PostAddressedFunction
    #: RIOSendEx with the address to send to, flat.
    post_send_to: PostAddressedFunction
    #: RIOReceive with RIO_MSG_COMMIT_ONLY, flat.
    commit_receives: CommitFunction
    #: RIOSend with RIO_MSG_COMMIT_ONLY, flat.
    commit_sends: CommitFunction
    #: The provider's own name for it, opaque; ``None`` once it is closed.
    handle: object = attrs.field(repr=False)
    #: Whether the socket is closed, and the queue with it.
    is_closed: bool = False
    #: Where a stream's send may be tried past the queue: takes the data and their length, and returns how many bytes
    #: went. 0: a send has to be posted, which will wait or fail.
    send_now: Callable[[bytes, int], int] | None = None
    #: Where a datagram socket can be read past the queue, by a reader that is alone. 1: its receives have not started,
    #: so a read overtakes none of them until the owner next waits; 2: results are there; else neither. Receives that
    #: have not started then do so when the owner waits, or looks for the third time.
    receives_rest: Callable[[], int] | None = None

    def mark_closed(self, why: str = SOCKET_CLOSED) -> None:
        """Zero the handle: from now on every use raises :class:`RioError` and reaches no kernel."""
        self.is_closed = True
        self.handle = None
        self.post_receive = self.post_send = _refusal(why)
        self.post_receive_from = self.post_send_to = _refusal(why)
        self.commit_receives = self.commit_sends = _refusal(why)
        self.send_now = self.receives_rest = None


@attrs.define(eq=False)
class CompletionQueue:
    """RIO_CQ: results of one or many sockets. Made by a provider, never by hand.

    ``dequeue(limit)`` returns at most ``limit`` results as raw tuples whose first member is a *Winsock code*;
    ``arm()`` is RIONotify and returns 0 or a code. Both never block; one caller of ``dequeue`` at a time, as RIO
    demands (:meth:`Provider.dequeue_completion` takes care of that). ``dequeue`` raises
    :class:`RioInternalError` when the queue is corrupt.
    """

    #: The provider that made it.
    provider: HandleProvider
    #: How it tells that there are results; ``None`` for a queue that is polled.
    notification: Notification
    #: RIODequeueCompletion, flat.
    dequeue: Callable[[int], list[RawResult]]
    #: RIONotify, flat.
    arm: Callable[[], int]
    #: The provider's own name for it, opaque; ``None`` once it is closed.
    handle: object = attrs.field(repr=False)
    #: Whether it is closed.
    is_closed: bool = False

    @property
    def capacity(self) -> int:
        """Results it has room for."""
        return self.provider.completion_queue_usage(self)[0]

    @property
    def charged(self) -> int:
        """Results promised to request queues; never above :attr:`capacity`."""
        return self.provider.completion_queue_usage(self)[1]

    def mark_closed(self, why: str = _QUEUE_CLOSED) -> None:
        """Make every later use raise :class:`RioError`."""
        self.is_closed = True
        self.handle = None
        self.dequeue = self.arm = _refusal(why)


class SlotRow(NamedTuple):
    """Slots of equal size at equal distances in one registration, and the places of their addresses likewise."""

    #: The RIO_BUFFERID of the registration.
    buffer_id: int
    #: Where the first slot begins, in bytes.
    offset: int
    #: From the start of one slot to that of the next, in bytes.
    stride: int
    #: The size of each slot, in bytes.
    length: int
    #: Where the place of the first address begins, in bytes.
    address_offset: int
    #: From one place of an address to the next, in bytes.
    address_stride: int


class SendRow(NamedTuple):
    """Adjacent datagrams in one registration, and their addresses, adjacent too."""

    #: The RIO_BUFFERID of the registration.
    buffer_id: int
    #: Where the first datagram begins, in bytes.
    offset: int
    #: Whether each datagram has an address; if not, all go to the socket's peer.
    has_addresses: bool
    #: Where the first address begins, in bytes.
    address_offset: int


@attrs.define(eq=False)
class RegisteredBuffer:
    """Memory whose slices requests may name, with its RIO_BUFFERID.

    The memory belongs to the caller, must stay writable and must not be resized while registered; the kernel
    owns each slice from the post of a request until its completion is dequeued.
    """

    #: The provider that made it.
    provider: HandleProvider
    #: Its RIO_BUFFERID.
    buffer_id: int
    #: How much memory it is, in bytes.
    length: int

    def slice(self, offset: int = 0, length: int | None = None) -> BufferSlice:
        """A RIO_BUF of this registration. Bounds are checked by the call that uses it, as RIO does."""
        return BufferSlice(self.buffer_id, offset, self.length - offset if length is None else length)
