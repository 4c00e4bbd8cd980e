"""The RIO function table as Python: what every provider offers, and the rules it keeps.

Facts. Registered I/O is a table of thirteen functions over three opaque things: buffer ids, completion
queues and request queues. A request names a slice of a registered buffer; its result is a record of four
numbers in the completion queue. Two functions need not be called from the kernel's side at all: dequeueing
reads memory that is shared with it. [Microsoft Learn, mswsock.h; mswsockdef.h]

Consequence. The table is small enough to be the interface between platforms. A caller that keeps RIO's rules
(``docs/reference/rio.md``) does not know which provider it talks to.

Decision. :class:`Provider` has the thirteen functions under their own names in Python spelling, with RIO's
arguments in RIO's order; a call that the table would fail raises :class:`RioCallError` with the code that the
table would give. A few functions stand *beside* the thirteen, because on Windows they belong to Winsock or to
the port, and because some providers can do more: :meth:`Provider.close_socket`, :meth:`Provider.cancel`,
:meth:`Provider.create_port`, :meth:`Provider.create_event`, :meth:`Provider.commit_all`.

Two speeds. The methods of :class:`Provider` check everything and are for people. A :class:`RequestQueue` and a
:class:`CompletionQueue` carry the same operations with flat integer arguments and an error code as the result
(``request_queue.post_receive(...)``): the engine calls those, one C call and no Python frame each. After the
socket is closed they are replaced by functions that raise, so that the handle of a dead queue cannot reach
the kernel.
"""

from __future__ import annotations

import abc
import socket
import struct
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple, NoReturn, TypeAlias

import attrs

from .errors import RioCallError, RioError, Status, error_from_status, status_from_errno, status_name

ProviderName: TypeAlias = Literal["winsock", "uring", "portable", "simulated"]

# Flags of a request [mswsockdef.h].
RIO_MSG_DONT_NOTIFY = 1
RIO_MSG_DEFER = 2
RIO_MSG_WAITALL = 4
RIO_MSG_COMMIT_ONLY = 8
_ALL_FLAGS = RIO_MSG_DONT_NOTIFY | RIO_MSG_DEFER | RIO_MSG_WAITALL | RIO_MSG_COMMIT_ONLY

RIO_MAX_CQ_SIZE = 0x8000000
RIO_CORRUPT_CQ = 0xFFFFFFFF
RIO_INVALID_BUFFERID = 0xFFFFFFFF  # 32-bit all ones, on 64-bit Windows too
RIO_EVENT_COMPLETION = 1
RIO_IOCP_COMPLETION = 2

# In the flat calls: "no buffer here", where the table would take a NULL RIO_BUF pointer.
NO_BUFFER = 0

# A RIO address slice holds a SOCKADDR_INET: the larger of the IPv4 and IPv6 socket addresses [ws2ipdef.h].
SOCKADDR_INET_SIZE_BYTES = 28

# One dequeued record in the flat form: status, bytes transferred, socket context, request context.
RawResult: TypeAlias = tuple[int, int, int, int]


class BufferSlice(NamedTuple):
    """RIO_BUF: ``length`` bytes from ``offset`` of the registration ``buffer_id``."""

    buffer_id: int
    offset: int
    length: int


class RioResult(NamedTuple):
    """RIORESULT: how one request ended.

    ``status`` is 0 or a Winsock code on every platform; :attr:`error` makes an :class:`OSError` of it.
    """

    status: int
    bytes_transferred: int
    socket_context: int
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
    """RIO_NOTIFICATION_COMPLETION of type RIO_EVENT_COMPLETION.

    Args:
      event: set when the queue is armed and has a qualifying completion.
      notify_reset: whether ``notify`` resets the event as it arms.
    """

    event: Event
    notify_reset: bool = True
    type: ClassVar[int] = RIO_EVENT_COMPLETION


@attrs.frozen(eq=False)
class PortNotification:
    """RIO_NOTIFICATION_COMPLETION of type RIO_IOCP_COMPLETION.

    Args:
      port: gets one packet when the queue is armed and has a qualifying completion.
      completion_key: comes back from :meth:`Port.wait`; 0 .. 2**63-1.
    """

    port: Port
    completion_key: int
    type: ClassVar[int] = RIO_IOCP_COMPLETION


# None: the queue is polled only.
Notification: TypeAlias = EventNotification | PortNotification | None

PostFunction: TypeAlias = Callable[[int, int, int, int, int], int]
PostAddressedFunction: TypeAlias = Callable[[int, int, int, int, int, int, int], int]
CommitFunction: TypeAlias = Callable[[], int]


def _closed_queue(*_: object) -> NoReturn:
    raise RioError("the socket of this RequestQueue is closed; its queue died with it (make a new one)")


@attrs.define(eq=False)
class RequestQueue:
    """RIO_RQ: one socket's credits and the order of its requests. Made by a provider, never by hand.

    The ``post_*`` functions are the flat forms. Each returns 0 or a Winsock code, and takes
    ``(buffer_id, offset, length, flags, request_context)``; the addressed ones have
    ``address_buffer_id, address_offset`` after ``length``. ``NO_BUFFER`` stands for NULL.
    """

    provider: Provider
    socket: socket.socket
    socket_context: int
    post_receive: PostFunction
    post_send: PostFunction
    post_receive_from: PostAddressedFunction
    post_send_to: PostAddressedFunction
    commit_receives: CommitFunction
    commit_sends: CommitFunction
    handle: object = attrs.field(repr=False)
    is_closed: bool = False

    def mark_closed(self) -> None:
        """Zero the handle: from now on every use raises :class:`RioError` and reaches no kernel."""
        self.is_closed = True
        self.handle = None
        self.post_receive = self.post_send = _closed_queue
        self.post_receive_from = self.post_send_to = _closed_queue
        self.commit_receives = self.commit_sends = _closed_queue


def _closed_cq(*_: object) -> NoReturn:
    raise RioError("this CompletionQueue is closed")


@attrs.define(eq=False)
class CompletionQueue:
    """RIO_CQ: results of one or many sockets. Made by a provider, never by hand.

    ``dequeue(limit)`` returns at most ``limit`` results as raw tuples whose first member is a *Winsock code*;
    ``arm()`` is RIONotify and returns 0 or a code. Both never block. ``dequeue`` raises
    :class:`RioInternalError` when the queue is corrupt.
    """

    provider: Provider
    notification: Notification
    dequeue: Callable[[int], list[RawResult]]
    arm: Callable[[], int]
    handle: object = attrs.field(repr=False)
    is_closed: bool = False

    @property
    def capacity(self) -> int:
        """Results it has room for."""
        return self.provider.completion_queue_usage(self)[0]

    @property
    def charged(self) -> int:
        """Results promised to request queues; never above :attr:`capacity`."""
        return self.provider.completion_queue_usage(self)[1]

    def mark_closed(self) -> None:
        """Make every later use raise :class:`RioError`."""
        self.is_closed = True
        self.handle = None
        self.dequeue = _closed_cq
        self.arm = _closed_cq


@attrs.define(eq=False)
class RegisteredBuffer:
    """Memory whose slices requests may name, with its RIO_BUFFERID.

    The memory belongs to the caller, must stay writable and must not be resized while registered; the kernel
    owns each slice from the post of a request until its completion is dequeued.
    """

    provider: Provider
    buffer_id: int
    length: int

    def slice(self, offset: int = 0, length: int | None = None) -> BufferSlice:
        """A RIO_BUF of this registration. Bounds are checked by the call that uses it, as RIO does."""
        return BufferSlice(self.buffer_id, offset, self.length - offset if length is None else length)


class Provider(abc.ABC):
    """One RIO function table with its state. Calls from several threads are serialised by the provider.

    A provider made in one process is dead in a forked child: every call raises :class:`RioError` there.
    """

    name: ClassVar[ProviderName]

    #: ``cancel`` ends one request early (an extension; RIO itself has none).
    can_cancel: ClassVar[bool]

    #: A deferred request may touch the socket inside the post itself, not only at the commit.
    starts_at_post: ClassVar[bool]

    #: Registering and deregistering cost about as much as a call, so a caller's own memory may be registered
    #: for one request.
    registers_cheaply: ClassVar[bool]

    # ------------------------------------------------------------------------------------------------
    # The thirteen functions
    # ------------------------------------------------------------------------------------------------

    def receive(
        self,
        request_queue: RequestQueue,
        data: BufferSlice | None,
        data_count: int,
        flags: int,
        request_context: int,
    ) -> None:
        """RIOReceive: post a receive into ``data``, or commit deferred ones.

        Args:
          request_queue: of the socket.
          data: the slice to fill; ``None`` with ``data_count`` 0 on datagram sockets and to commit.
          data_count: 0 or 1; RIO has no scatter.
          flags: RIO_MSG_DONT_NOTIFY, _DEFER, _WAITALL, or RIO_MSG_COMMIT_ONLY by itself.
          request_context: 0 .. 2**63-1, comes back in the result.

        Raises:
          RioCallError: WSAEINVAL (flags, count, slice outside its registration), WSAEFAULT (buffer id not
            registered), WSAENOBUFS (no credit left, or a send-only queue).
          RioError: the socket is closed.

        [Microsoft Learn, LPFN_RIORECEIVE]
        """
        self._request("RIOReceive", request_queue, data, data_count, None, flags, request_context)

    def receive_ex(
        self,
        request_queue: RequestQueue,
        data: BufferSlice | None,
        data_count: int,
        local_address: BufferSlice | None,
        remote_address: BufferSlice | None,
        control: BufferSlice | None,
        flags_buffer: BufferSlice | None,
        flags: int,
        request_context: int,
    ) -> None:
        """RIOReceiveEx: as :meth:`receive`, and put the sender's address into ``remote_address``.

        ``remote_address`` must have room for a SOCKADDR_INET (28 bytes); read it with
        :func:`unpack_address`. ``local_address``, ``control`` and ``flags_buffer`` are refused with
        WSAEOPNOTSUPP by providers other than ``winsock``. [Microsoft Learn, LPFN_RIORECEIVEEX]
        """
        self._refuse_unsupported("RIOReceiveEx", flags, local_address, control, flags_buffer)
        self._request("RIOReceiveEx", request_queue, data, data_count, remote_address, flags, request_context)

    def send(
        self,
        request_queue: RequestQueue,
        data: BufferSlice | None,
        data_count: int,
        flags: int,
        request_context: int,
    ) -> None:
        """RIOSend: post a send of ``data``, or commit deferred ones.

        A stream send completes when all of ``data`` is with the transport, or with an error. Arguments and
        errors as :meth:`receive`; RIO_MSG_WAITALL is not for sends. [Microsoft Learn, LPFN_RIOSEND]
        """
        self._request("RIOSend", request_queue, data, data_count, None, flags, request_context)

    def send_ex(
        self,
        request_queue: RequestQueue,
        data: BufferSlice | None,
        data_count: int,
        local_address: BufferSlice | None,
        remote_address: BufferSlice | None,
        control: BufferSlice | None,
        flags_buffer: BufferSlice | None,
        flags: int,
        request_context: int,
    ) -> None:
        """RIOSendEx: as :meth:`send`, to the address in ``remote_address`` (see :func:`pack_address`).

        ``local_address`` must be ``None`` (WSAEINVAL). [Microsoft Learn, LPFN_RIOSENDEX]
        """
        if local_address is not None:
            raise RioCallError("RIOSendEx", Status.EINVAL, "local_address must be None for a send")
        self._refuse_unsupported("RIOSendEx", flags, None, control, flags_buffer)
        self._request("RIOSendEx", request_queue, data, data_count, remote_address, flags, request_context)

    def close_completion_queue(self, completion_queue: CompletionQueue) -> None:
        """RIOCloseCompletionQueue. Results not dequeued yet, and later ones, are dropped. Twice is allowed."""
        if not completion_queue.is_closed:
            self._close_completion_queue(completion_queue)
            completion_queue.mark_closed()

    @abc.abstractmethod
    def create_completion_queue(self, queue_size: int, notification: Notification = None) -> CompletionQueue:
        """RIOCreateCompletionQueue.

        Args:
          queue_size: results it has room for, 1 .. RIO_MAX_CQ_SIZE.
          notification: an event, a port, or ``None`` for a queue that is polled.

        Raises:
          RioCallError: WSAEINVAL for a size out of range or a port or event of another provider.
        """

    @abc.abstractmethod
    def create_request_queue(
        self,
        sock: socket.socket,
        max_outstanding_receive: int,
        max_receive_data_buffers: int,
        max_outstanding_send: int,
        max_send_data_buffers: int,
        receive_cq: CompletionQueue,
        send_cq: CompletionQueue,
        socket_context: int,
    ) -> RequestQueue:
        """RIOCreateRequestQueue: charge the completion queues and make a queue for ``sock``.

        Args:
          sock: TCP or UDP over IPv4 or IPv6. Stays the caller's; close it with :meth:`close_socket`.
          max_outstanding_receive: receives that may be posted and not dequeued; 0 for a send-only queue.
          max_receive_data_buffers: 1.
          max_outstanding_send: likewise for sends. Not both maxima may be 0.
          max_send_data_buffers: 1.
          receive_cq: where results of receives go; charged with ``max_outstanding_receive``.
          send_cq: where results of sends go, may be the same; charged with ``max_outstanding_send``.
          socket_context: 0 .. 2**63-1, comes back in every result.

        Raises:
          RioCallError: WSAEINVAL (both maxima 0, more than one data buffer, closed queue), WSAENOBUFS (a
            completion queue has no room left), WSAENOTSOCK, WSAEOPNOTSUPP (a socket that RIO cannot serve).

        [Microsoft Learn, LPFN_RIOCREATEREQUESTQUEUE]
        """

    def dequeue_completion(self, completion_queue: CompletionQueue, array_length: int) -> list[RioResult]:
        """RIODequeueCompletion: take at most ``array_length`` results, in the order they were queued.

        Never blocks. Frees the credits of the requests that it returns. One caller at a time per queue is
        RIO's rule; here other threads wait their turn.

        Raises:
          RioInternalError: the queue is corrupt.
          RioError: the queue is closed.
        """
        if array_length < 1:
            raise RioCallError("RIODequeueCompletion", Status.EINVAL, "array_length must be at least 1")
        return [RioResult._make(raw) for raw in completion_queue.dequeue(array_length)]

    @abc.abstractmethod
    def deregister_buffer(self, buffer: RegisteredBuffer) -> None:
        """RIODeregisterBuffer: no new request may name the id; an id already gone is ignored.

        Requests that use it keep the memory alive; it is given back when the last of them is dequeued.
        """

    def notify(self, completion_queue: CompletionQueue) -> None:
        """RIONotify: ask for one signal when the queue has a qualifying completion (at once if it has).

        Raises:
          RioCallError: WSAEALREADY when armed already; WSAEINVAL for a polled queue.
        """
        code = completion_queue.arm()
        if code:
            raise RioCallError("RIONotify", code)

    @abc.abstractmethod
    def register_buffer(self, memory: bytearray | memoryview) -> RegisteredBuffer:
        """RIORegisterBuffer.

        Args:
          memory: writable and contiguous, 1 .. 2**32-1 bytes (a bytearray, or a memoryview of an mmap).

        Raises:
          RioCallError: WSAEINVAL for zero bytes or too many; WSAEFAULT for memory that cannot be written.
        """

    @abc.abstractmethod
    def resize_completion_queue(self, completion_queue: CompletionQueue, queue_size: int) -> None:
        """RIOResizeCompletionQueue: results in it stay, in order.

        Raises:
          RioCallError: WSAEINVAL (size out of range), WSAETOOMANYREFS (below what is charged).
        """

    @abc.abstractmethod
    def resize_request_queue(
        self, request_queue: RequestQueue, max_outstanding_receive: int, max_outstanding_send: int
    ) -> None:
        """RIOResizeRequestQueue.

        Raises:
          RioCallError: WSAENOBUFS (no room in a completion queue), WSAETOOMANYREFS (below what is
            outstanding), WSAEINVAL (both 0).
        """

    # ------------------------------------------------------------------------------------------------
    # Beside the thirteen
    # ------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def close_socket(self, request_queue: RequestQueue) -> None:
        """closesocket: end the queue, abort what is outstanding, and close the socket at once.

        Each outstanding request completes exactly once, aborted unless it had really finished; its credit and
        the charge come back as it is dequeued. The peer sees the end of the stream at once. Twice is allowed.
        """

    @abc.abstractmethod
    def release_socket(self, request_queue: RequestQueue) -> None:
        """As :meth:`close_socket`, but leave the socket itself open (for ``detach()``)."""

    @abc.abstractmethod
    def cancel(self, request_queue: RequestQueue, request_context: int) -> None:
        """Ask that the outstanding request with this context end now (only where :attr:`can_cancel`).

        It still completes exactly once: aborted (``bytes_transferred`` says how much of a stream send had
        gone), or with its result if that came first. A request that the kernel has not seen is aborted
        untouched. An unknown context is ignored.
        """

    @abc.abstractmethod
    def commit_all(self) -> None:
        """Commit every deferred request of every request queue, both directions."""

    @abc.abstractmethod
    def create_port(self) -> Port:
        """A completion port for :class:`PortNotification`."""

    @abc.abstractmethod
    def create_event(self) -> Event:
        """A manual-reset event for :class:`EventNotification`."""

    @abc.abstractmethod
    def completion_queue_usage(self, completion_queue: CompletionQueue) -> tuple[int, int]:
        """(capacity, charged) of a queue."""

    @abc.abstractmethod
    def outstanding(self) -> int:
        """Requests posted and not dequeued, of all queues."""

    @abc.abstractmethod
    def close(self) -> None:
        """End every request, wait (bounded) until the kernel has let go of all memory, give everything back.

        Twice is allowed. Sockets that are still open stay open.
        """

    # ------------------------------------------------------------------------------------------------
    # Shared checks
    # ------------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def _close_completion_queue(self, completion_queue: CompletionQueue) -> None: ...

    @staticmethod
    def _refuse_unsupported(function: str, flags: int, *slices: BufferSlice | None) -> None:
        if any(slice_ is not None for slice_ in slices):
            if flags & RIO_MSG_COMMIT_ONLY:
                raise RioCallError(function, Status.EINVAL, "RIO_MSG_COMMIT_ONLY takes no slices")
            raise RioCallError(
                function, Status.EOPNOTSUPP, "local address, control and flags slices are for winsock only"
            )

    @staticmethod
    def _request(
        function: str,
        request_queue: RequestQueue,
        data: BufferSlice | None,
        data_count: int,
        address: BufferSlice | None,
        flags: int,
        context: int,
    ) -> None:
        is_send = function.startswith("RIOSend")
        problem = _problem_with(is_send, data, data_count, address, flags, context)
        if problem:
            raise RioCallError(function, Status.EINVAL, problem)
        if flags & RIO_MSG_COMMIT_ONLY:
            code = request_queue.commit_sends() if is_send else request_queue.commit_receives()
        else:
            buffer_id, offset, length = data or (NO_BUFFER, 0, 0)
            if address is None:
                post = request_queue.post_send if is_send else request_queue.post_receive
                code = post(buffer_id, offset, length, flags, context)
            else:
                post_ex = request_queue.post_send_to if is_send else request_queue.post_receive_from
                code = post_ex(buffer_id, offset, length, address.buffer_id, address.offset, flags, context)
        if code:
            raise RioCallError(function, code)


def _problem_with(
    is_send: bool,
    data: BufferSlice | None,
    data_count: int,
    address: BufferSlice | None,
    flags: int,
    context: int,
) -> str:
    """Why the table would answer WSAEINVAL to these arguments; empty when it would not."""
    if flags & ~_ALL_FLAGS:
        return f"unknown flags {flags & ~_ALL_FLAGS:#x}"
    if flags & RIO_MSG_COMMIT_ONLY:
        if flags != RIO_MSG_COMMIT_ONLY or data is not None or data_count or address is not None or context:
            return "RIO_MSG_COMMIT_ONLY goes alone: no other flag, no data, no address, context 0"
        return ""
    if is_send and flags & RIO_MSG_WAITALL:
        return "RIO_MSG_WAITALL is for receives"
    if data_count not in (0, 1):
        return f"data_count is {data_count}; RIO takes one data buffer (or none)"
    if (data is None) != (data_count == 0):
        return "data must be None exactly when data_count is 0"
    if not 0 <= context < 1 << 63:
        return "request_context must be within 0 .. 2**63-1"
    for slice_ in (data, address):
        if slice_ is not None and not (
            0 <= slice_.offset < 1 << 32 and 0 <= slice_.length < 1 << 32 and 0 <= slice_.buffer_id < 1 << 63
        ):
            return "offset and length of a slice are unsigned 32-bit numbers"
    if address is not None and address.length < SOCKADDR_INET_SIZE_BYTES:
        return f"an address slice needs {SOCKADDR_INET_SIZE_BYTES} bytes (SOCKADDR_INET)"
    return ""


# --------------------------------------------------------------------------------------------------------
# Addresses
# --------------------------------------------------------------------------------------------------------

_SOCKADDR_IN = struct.Struct("!2xH4s20x")
_SOCKADDR_IN6 = struct.Struct("!2xHI16s4x")
_FAMILY = struct.Struct("=H")
_SCOPE = struct.Struct("=I")

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


def pack_address(family: int, address: Address) -> bytes:
    """A SOCKADDR_INET of 28 bytes for a numeric address, in the platform's own layout.

    Args:
      family: ``socket.AF_INET`` or ``AF_INET6``; its number differs between platforms.
      address: ``(host, port)`` or ``(host, port, flowinfo, scope_id)``, host numeric.

    Raises:
      OSError: the host is not a numeric address of that family.
      ValueError: the family is neither, or a number is out of range.
    """
    host, port = address[0], address[1]
    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"port must be within 0 .. 65535, not {port}")
    packed = bytearray(SOCKADDR_INET_SIZE_BYTES)
    if family == socket.AF_INET:
        _SOCKADDR_IN.pack_into(packed, 0, port, socket.inet_pton(socket.AF_INET, host))
    elif family == socket.AF_INET6:
        flow = address[2] if len(address) > 2 else 0
        scope = address[3] if len(address) > 3 else 0
        _SOCKADDR_IN6.pack_into(packed, 0, port, flow, socket.inet_pton(socket.AF_INET6, host))
        _SCOPE.pack_into(packed, 24, scope)
    else:
        raise ValueError(f"RIO addresses are IPv4 or IPv6, not family {family}")
    _FAMILY.pack_into(packed, 0, family)
    return bytes(packed)


def unpack_address(packed: bytes | memoryview) -> Address:
    """The address in a SOCKADDR_INET, in the form that :meth:`socket.socket.recvfrom` gives it.

    Raises:
      ValueError: fewer than 28 bytes, or neither an IPv4 nor an IPv6 address.
    """
    if len(packed) < SOCKADDR_INET_SIZE_BYTES:
        raise ValueError(f"a SOCKADDR_INET has {SOCKADDR_INET_SIZE_BYTES} bytes, not {len(packed)}")
    (family,) = _FAMILY.unpack_from(packed, 0)
    if family == socket.AF_INET:
        port, raw = _SOCKADDR_IN.unpack_from(packed, 0)
        return socket.inet_ntop(socket.AF_INET, raw), port
    if family == socket.AF_INET6:
        port, flow, raw = _SOCKADDR_IN6.unpack_from(packed, 0)
        (scope,) = _SCOPE.unpack_from(packed, 24)
        return socket.inet_ntop(socket.AF_INET6, raw), port, flow, scope
    raise ValueError(f"not an IPv4 or IPv6 address: family {family}")


__all__ = [
    "NO_BUFFER",
    "RIO_CORRUPT_CQ",
    "RIO_EVENT_COMPLETION",
    "RIO_INVALID_BUFFERID",
    "RIO_IOCP_COMPLETION",
    "RIO_MAX_CQ_SIZE",
    "RIO_MSG_COMMIT_ONLY",
    "RIO_MSG_DEFER",
    "RIO_MSG_DONT_NOTIFY",
    "RIO_MSG_WAITALL",
    "SOCKADDR_INET_SIZE_BYTES",
    "Address",
    "BufferSlice",
    "CompletionQueue",
    "Event",
    "EventNotification",
    "Notification",
    "Port",
    "PortNotification",
    "Provider",
    "ProviderName",
    "RawResult",
    "RegisteredBuffer",
    "RequestQueue",
    "RioResult",
    "pack_address",
    "status_from_errno",
    "status_name",
    "unpack_address",
]
