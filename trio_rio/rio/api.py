"""The RIO function table as Python: what every provider offers, and the rules it keeps.

Facts. Registered I/O is a table of thirteen functions over three opaque things: buffer ids, completion
queues and request queues. A request names a slice of a registered buffer; its result is a record of four
numbers in the completion queue. Two functions need not be called from the kernel's side at all: dequeueing
reads memory that is shared with it. [Microsoft Learn, mswsock.h; mswsockdef.h]

Consequence. The table is small enough to be the interface between platforms. A caller that keeps RIO's rules
(``docs/maintainers/conformance.md``) does not know which provider it talks to.

Decision. :class:`Provider` has the thirteen functions under their own names in Python spelling, with RIO's
arguments in RIO's order; a call that the table would fail raises :class:`RioCallError` with the code that the
table would give. A few functions stand *beside* the thirteen, because on Windows they belong to Winsock or to
the port, and because some providers can do more: :meth:`Provider.close_socket`, :meth:`Provider.cancel`,
:meth:`Provider.try_sends`, :meth:`Provider.create_port`, :meth:`Provider.create_event`, :meth:`Provider.commit_all`,
and :meth:`Provider.post_receives` and :meth:`Provider.post_sends`, which are many calls in one.

Two speeds. The methods of :class:`Provider` check everything and are for people. A :class:`RequestQueue` and a
:class:`CompletionQueue` carry the same operations with flat integer arguments and an error code as the result
(``request_queue.post_receive(...)``): the engine calls those, one C call and no Python frame each. After the
socket is closed they are replaced by functions that raise, so that the handle of a dead queue cannot reach
the kernel.
"""

from __future__ import annotations

import abc
import socket
import sys
from array import array
from contextlib import AbstractContextManager
from typing import ClassVar, NoReturn

from .addresses import SOCKADDR_INET_SIZE_BYTES, Address, pack_address, unpack_address
from .checks import check_request_queue_arguments, post_or_commit
from .errors import RioCallError, Status, status_from_errno, status_name
from .rows import post_receives, post_sends
from .types import (
    NO_BUFFER,
    RIO_CORRUPT_CQ,
    RIO_EVENT_COMPLETION,
    RIO_INVALID_BUFFERID,
    RIO_IOCP_COMPLETION,
    RIO_MAX_CQ_SIZE,
    RIO_MSG_COMMIT_ONLY,
    RIO_MSG_DEFER,
    RIO_MSG_DONT_NOTIFY,
    RIO_MSG_WAITALL,
    BufferSlice,
    CommitFunction,
    CompletionQueue,
    Event,
    EventNotification,
    ExtendedSlices,
    Notification,
    Port,
    PortNotification,
    PostAddressedFunction,
    PostFunction,
    ProviderName,
    RawResult,
    RegisteredBuffer,
    RequestQueue,
    RioResult,
    SendRow,
    SlotRow,
)


class Provider(abc.ABC):
    """One RIO function table with its state. Calls from several threads are serialised by the provider.

    A provider made in one process is dead in a forked child: every call raises :class:`RioError` there.
    """

    #: "winsock", "uring" or "portable".
    name: ClassVar[ProviderName]

    #: ``cancel`` ends one request early (an extension; RIO itself has none).
    can_cancel: ClassVar[bool]

    #: A deferred request touches the socket inside the post itself. No provider does that any more.
    starts_at_post: ClassVar[bool] = False
    #: Registering and deregistering cost about as much as a call: a caller's own memory may be, for one request.
    registers_cheaply: ClassVar[bool]

    #: A plain receive of the system truncates a datagram that is longer than the buffer, and succeeds (POSIX); on
    #: Windows it fails with WSAEMSGSIZE.
    truncates_silently: ClassVar[bool] = sys.platform != "win32"

    #: The former name of :attr:`truncates_silently`.
    cuts_datagrams: ClassVar[bool] = truncates_silently

    #: Only sockets from :meth:`make_socket`, and those that such a one has accepted, can have a request queue. A
    #: receive on another one may be taken and never complete.
    serves_own_sockets_only: ClassVar[bool] = False

    #: A request in flight keeps the file of its socket open, though its descriptor is closed.
    holds_files: ClassVar[bool] = False

    #: For an engine in C: where a ``rio_table`` (``native/table.h``) is, and what its functions take first.
    native_table: tuple[int, int] | None = None

    #: How long :meth:`close` waits until the kernel has let go of all memory: it may be swapping. 0: it never warns.
    drain_seconds: float = 5.0

    #: Memory that the kernel did not let go of in time at :meth:`close`; kept for good.
    leaked_bytes: int = 0

    # -- the thirteen functions ------------------------------------------------------------------------------

    def receive(
        self, request_queue: RequestQueue, data: BufferSlice | None, data_count: int, flags: int, request_context: int
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
        slices = (data, local_address, remote_address, control, flags_buffer)
        self._request_ex("RIOReceiveEx", request_queue, slices, data_count, flags, request_context)

    def send(
        self, request_queue: RequestQueue, data: BufferSlice | None, data_count: int, flags: int, request_context: int
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
        slices = (data, local_address, remote_address, control, flags_buffer)
        self._request_ex("RIOSendEx", request_queue, slices, data_count, flags, request_context)

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
        sides = (max_outstanding_receive, max_outstanding_send), (receive_cq, send_cq)
        with self._in_call():
            data_buffers = max_receive_data_buffers, max_send_data_buffers
            check_request_queue_arguments(self, sock, sides[0], data_buffers, sides[1], socket_context)
            return self._create_request_queue(sock, *sides, socket_context)

    @abc.abstractmethod
    def _in_call(self) -> AbstractContextManager[object]:
        """Hold the lock, if this provider needs one for a call; refuses a closed or foreign provider."""

    @abc.abstractmethod
    def _create_request_queue(
        self,
        sock: socket.socket,
        limits: tuple[int, int],
        completion_queues: tuple[CompletionQueue, CompletionQueue],
        socket_context: int,
    ) -> RequestQueue:
        """Inside :meth:`_in_call`, with arguments that are in order; pairs are (receive, send)."""

    def note_dequeued(self) -> None:  # noqa: B027
        """An engine in C has dequeued by :attr:`native_table`: free what was kept for the results."""

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
            self.raise_for("RIONotify", code)

    @abc.abstractmethod
    def register_buffer(self, memory: bytearray | memoryview) -> RegisteredBuffer:
        """RIORegisterBuffer.

        Args:
          memory: writable and contiguous, 1 .. 2**32-1 bytes (a bytearray, or a memoryview of an mmap).

        Raises:
          RioCallError: WSAEINVAL for zero bytes or too many; WSAEFAULT for memory that cannot be written.
        """

    @abc.abstractmethod
    def register_for_sending(self, memory: bytes | bytearray | memoryview) -> RegisteredBuffer:
        """Register memory that is only read, such as bytes (only where :attr:`registers_cheaply`; Windows cannot).

        A receive into it fails with WSAEFAULT. Arguments and errors as :meth:`register_buffer`.
        """

    def register_new_bytes(self, size_bytes: int) -> tuple[RegisteredBuffer, bytes] | None:
        """New bytes (2 or more) that receives may fill, registered; ``None`` where that is not to be had, or not cheap.

        Bytes that no receive has filled have arbitrary content, and must not be shown.
        """
        return None

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

    # -- beside the thirteen ---------------------------------------------------------------------------------

    def make_socket(self, family: int, type: int, proto: int = 0) -> socket.socket:
        """A socket that a request queue can be made for, as :class:`socket.socket` makes one elsewhere.

        Args:
          family: ``AF_INET`` or ``AF_INET6``; others give a plain socket.
          type: ``SOCK_STREAM`` or ``SOCK_DGRAM``; others give a plain socket.
          proto: as for :class:`socket.socket`.

        Sockets that it accepts can have a request queue too. It is blocking, and the caller closes it.

        Raises:
          OSError: as :class:`socket.socket`.
        """
        return socket.socket(family, type, proto)

    @abc.abstractmethod
    def close_socket(self, request_queue: RequestQueue) -> None:
        """closesocket: end the queue, abort what is outstanding, and close the socket at once.

        Each outstanding request completes exactly once, aborted unless it had really finished; its credit and
        the charge come back as it is dequeued. The peer sees the end of the stream at once. Twice is allowed.
        """

    @abc.abstractmethod
    def release_socket(self, request_queue: RequestQueue) -> None:
        """As :meth:`close_socket`, but leave the socket itself open (for ``detach()``).

        Where :attr:`can_cancel` is false, what is outstanding ends only when the caller closes the socket.
        """

    def rebind_socket(self, request_queue: RequestQueue, sock: socket.socket) -> None:
        """Use ``sock`` from now on, which has the descriptor of the queue's socket, or (not on Windows) a duplicate."""
        request_queue.socket = sock

    @abc.abstractmethod
    def cancel(self, request_queue: RequestQueue, request_context: int) -> None:
        """Ask that the outstanding request with this context end now (only where :attr:`can_cancel`).

        It still completes exactly once: aborted (``bytes_transferred`` says how much of a stream send had
        gone), or with its result if that came first: what comes later is not for it. A request that the kernel
        has not seen is aborted untouched. An unknown context is ignored.
        """

    def try_sends(self, request_queue: RequestQueue) -> bool:
        """Let the queue's sends go as far as they go now. Whether one is left that has to wait for its socket.

        One that was cancelled does not count. False where that cannot be known: where a send completes only when the
        peer has acknowledged it, and in a thread that may not submit.
        """
        return False

    def post_receives(
        self, request_queue: RequestQueue, slots: SlotRow, first_context: int, count: int, flags: int
    ) -> int:
        """Post ``count`` receives of a datagram each, into neighbouring slots; how many the queue had room for.

        ``first_context`` is the request context of the first; those of the others count on. ``flags`` are
        RIO_MSG_DEFER and RIO_MSG_DONT_NOTIFY.

        Raises:
          RioCallError: the first was refused, for a reason as in :meth:`receive`.
        """
        return post_receives(self, request_queue, slots, first_context, count, flags)

    def post_sends(
        self, request_queue: RequestQueue, data: SendRow, lengths: array[int], first_context: int, flags: int
    ) -> int:
        """Post a send for each of ``lengths`` (``array("I")``, in bytes), whose data follow upon each other.

        How many the queue had room for; contexts, flags and errors as for :meth:`post_receives`.
        """
        return post_sends(self, request_queue, data, lengths, first_context, flags)

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

    def features(self) -> list[tuple[str, bool, str, str]]:
        """What it uses of the system: (name, is there, since when, what for). Empty if there is nothing to choose."""
        return []

    @abc.abstractmethod
    def outstanding(self) -> int:
        """Requests posted and not dequeued, of all queues."""

    @abc.abstractmethod
    def close(self) -> None:
        """End every request, wait (bounded) until the kernel has let go of all memory, give everything back.

        Twice is allowed. Sockets that are still open stay open.
        """

    def raise_for(self, function: str, code: int, detail: str = "") -> NoReturn:
        """Raise what a code other than 0 from a flat call means: :class:`RioCallError`, or that all is over."""
        raise RioCallError(function, code, detail)

    @abc.abstractmethod
    def _close_completion_queue(self, completion_queue: CompletionQueue) -> None: ...

    def _request_ex(
        self,
        function: str,
        request_queue: RequestQueue,
        slices: ExtendedSlices,
        data_count: int,
        flags: int,
        context: int,
    ) -> None:
        data, local, remote, *others = slices
        if local is not None or any(others):
            if flags & RIO_MSG_COMMIT_ONLY:
                raise RioCallError(function, Status.EINVAL, "RIO_MSG_COMMIT_ONLY takes no slices")
            raise RioCallError(
                function, Status.EOPNOTSUPP, "local address, control and flags slices are for winsock only"
            )
        self._request(function, request_queue, data, data_count, remote, flags, context)

    _request = staticmethod(post_or_commit)


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
    "CommitFunction",
    "CompletionQueue",
    "Event",
    "EventNotification",
    "ExtendedSlices",
    "Notification",
    "Port",
    "PortNotification",
    "PostAddressedFunction",
    "PostFunction",
    "Provider",
    "ProviderName",
    "RawResult",
    "RegisteredBuffer",
    "RequestQueue",
    "RioResult",
    "SendRow",
    "SlotRow",
    "pack_address",
    "status_from_errno",
    "status_name",
    "unpack_address",
]
