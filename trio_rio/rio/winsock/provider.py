"""The RIO function table of Windows itself (Windows 8, Server 2012 and later).

Facts
=====
The table comes from WSAIoctl. A socket must be *made* with WSA_FLAG_REGISTERED_IO, and so must the listener that
accepted it: otherwise a receive is taken without error and never completes. Nothing cancels one request; what ends them
is closing the socket, and then they must still be dequeued. A request queue dies with its socket, and no earlier: there
is one in a socket's life. A call on a dead one is an access violation. Some systems hand the table out and fail later.
[Microsoft Learn: WSAIoctl, WSASocketW, and the pages of the RIO functions]

Consequence
===========
A call that would crash, or never complete, must be refused here. Memory can be freed only when its requests are
dequeued, even if their completion queue was closed in between.

Decision
========
- The kernel's functions are called from ``queues``, which checks every rule first.
- :meth:`WinsockProvider.make_socket` makes the sockets; :attr:`Provider.serves_own_sockets_only` tells the callers.
- A completion queue that is closed while requests are outstanding is kept, unseen, until the last is dequeued: RIO
  would drop the results, which tell when the memory is free.
- Admission is checked against the size that was asked for, while the kernel's queue is larger: it may give charges back
  later than the last result, and then a new request queue would be refused for no reason.
- Closing a socket commits first what is deferred, so that the kernel knows every request that it is to end.
- :meth:`WinsockProvider.release_socket` cannot end requests: its caller closes the socket, or has none outstanding.
  A socket that it leaves open gets no other request queue.
"""

from __future__ import annotations

import contextlib
import socket
import time
import warnings
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

from ..api import (
    RIO_INVALID_BUFFERID,
    RIO_MAX_CQ_SIZE,
    RIO_MSG_COMMIT_ONLY,
    CompletionQueue,
    ExtendedSlices,
    Notification,
    Provider,
    ProviderName,
    RegisteredBuffer,
    RequestQueue,
)
from ..checks import (
    check_notification,
    check_queue_size,
    completion_handle,
    leak,
    problem_with,
    raw_type,
    request_handle,
)
from ..credits import check_new_limits, check_room
from ..errors import RioCallError, RioError, Status
from ..types import PROVIDER_CLOSED
from .ffi import RIO_INVALID_CQ, RIO_INVALID_RQ, ffi, last_error
from .queues import CompletionState, Registration, RequestSide, Shared, SocketQueues
from .signals import Signalling, WinsockEvent, WinsockPort, signalling_of
from .system import load_table, make_rio_socket

_MASK32 = 0xFFFF_FFFF

# Entries that a completion queue of the kernel has beyond twice what was asked for.
_SPARE_ENTRIES = 16

# How often close() looks whether the kernel has let go of memory. Closing a socket ends its requests at once.
_DRAIN_STEP_SECONDS = 0.001


class WinsockProvider(Provider):
    """RIO, as Windows has it.

    Raises:
      RioUnavailableError: Windows gives no function table; says why and what to do.
    """

    name: ClassVar[ProviderName] = "winsock"
    can_cancel: ClassVar[bool] = False
    registers_cheaply: ClassVar[bool] = False
    serves_own_sockets_only: ClassVar[bool] = True

    def __init__(self) -> None:
        self.table: Any = load_table()
        self._shared = Shared(self.table)
        self._is_closed = False
        self._sockets: dict[int, RequestQueue] = {}
        self._released: weakref.WeakSet[socket.socket] = weakref.WeakSet()  # Windows still has a queue for each
        self._completion_queues: dict[CompletionState, CompletionQueue] = {}
        self._closing: list[CompletionState] = []  # closed, with requests outstanding
        self._events: weakref.WeakSet[WinsockEvent] = weakref.WeakSet()

    # -- helpers ---------------------------------------------------------------------------------------

    def _check_alive(self) -> None:
        if self._is_closed:
            raise RioError(PROVIDER_CLOSED)

    def _state(self, function: str, completion_queue: CompletionQueue) -> CompletionState:
        if completion_queue.is_closed:
            self._check_alive()
        state: CompletionState = completion_handle(self, function, completion_queue)
        return state

    def _queues(self, function: str, request_queue: RequestQueue) -> SocketQueues:
        if request_queue.is_closed:
            self._check_alive()
        queues: SocketQueues = request_handle(self, function, request_queue)
        return queues

    # -- the thirteen ------------------------------------------------------------------------------------

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
        if local is None and not any(others):
            self._request(function, request_queue, data, data_count, remote, flags, context)
            return
        if flags & RIO_MSG_COMMIT_ONLY:
            raise RioCallError(function, Status.EINVAL, "RIO_MSG_COMMIT_ONLY takes no slices")
        is_send = function == "RIOSendEx"
        for address in (remote, local):
            problem = problem_with(is_send, data, data_count, address, flags, context)
            if problem:
                raise RioCallError(function, Status.EINVAL, problem)
        queues = self._queues(function, request_queue)
        code = (queues.sends if is_send else queues.receives).post_full(slices, flags, context)
        if code:
            self.raise_for(function, code)

    def create_completion_queue(self, queue_size: int, notification: Notification = None) -> CompletionQueue:
        function = "RIOCreateCompletionQueue"
        with self._in_call():
            check_queue_size(function, queue_size)
            check_notification(self, function, notification)
            signalling = signalling_of(notification)
            rio_cq = self.table.RIOCreateCompletionQueue(_with_spare(queue_size), signalling.structure)
            if rio_cq == RIO_INVALID_CQ:
                raise RioCallError(function, last_error(), f"queue_size is {queue_size}")
            if signalling.signal is not None:
                signalling.signal.enter()
            state = CompletionState(queue_size, rio_cq, signalling)
            completion_queue = CompletionQueue(
                provider=self,
                notification=notification,
                dequeue=partial(self._shared.dequeue, state),
                arm=partial(self._arm, state) if signalling.signal is not None else lambda: Status.EINVAL,
                handle=state,
            )
            self._completion_queues[state] = completion_queue
            return completion_queue

    def _arm(self, state: CompletionState) -> int:
        with self._shared.lock:
            code: int = self.table.RIONotify(state.rio_cq)  # the code itself
            state.signalling.is_awaited = code in (0, Status.EALREADY)
            return code

    @contextlib.contextmanager
    def _in_call(self) -> Iterator[None]:
        with self._shared.lock:
            self._check_alive()
            yield

    def _create_request_queue(
        self,
        sock: socket.socket,
        limits: tuple[int, int],
        completion_queues: tuple[CompletionQueue, CompletionQueue],
        socket_context: int,
    ) -> RequestQueue:
        """The socket must be from :meth:`make_socket`, or accepted from one.

        WSAEOPNOTSUPP is also what a socket without WSA_FLAG_REGISTERED_IO gets, whatever the table says to it, and one
        that :meth:`release_socket` has left open.
        """
        function = "RIOCreateRequestQueue"
        self._drain_closing()
        receiving, sending = completion_queues
        states = self._state(function, receiving), self._state(function, sending)
        check_room(function, states, limits)
        number = sock.fileno()
        earlier = self._sockets.get(number)
        if earlier is not None:
            if earlier.socket.fileno() == number:
                raise RioCallError(function, Status.EINVAL, "the socket has a request queue already")
            self._end(earlier)  # its socket was closed elsewhere, and the number reused
        if sock in self._released:
            raise RioCallError(function, Status.EOPNOTSUPP, "the socket had a request queue that was released")
        rio_rq = self.table.RIOCreateRequestQueue(
            number, limits[0], 1, limits[1], 1, states[0].rio_cq, states[1].rio_cq, socket_context
        )
        if rio_rq == RIO_INVALID_RQ:
            code = last_error()
            if code in (Status.EINVAL, Status.EOPNOTSUPP):
                # What else WSAEINVAL could mean was checked, but for a queue that another provider has made.
                cause = "the socket was made without WSA_FLAG_REGISTERED_IO, or has a queue of another provider's"
                detail = f"{cause} (the table answered {code})"
                raise RioCallError(function, Status.EOPNOTSUPP, detail)
            raise RioCallError(function, code)
        return self._make_request_queue(sock, rio_rq, limits, states, socket_context)

    def _make_request_queue(
        self,
        sock: socket.socket,
        rio_rq: int,
        limits: tuple[int, int],
        states: tuple[CompletionState, CompletionState],
        socket_context: int,
    ) -> RequestQueue:
        table, number, shared = self.table, sock.fileno(), self._shared
        queue = RequestQueue(
            self, sock, socket_context, _not_ready, _not_ready, _not_ready, _not_ready, _not_ready, _not_ready, None
        )
        is_stream = raw_type(sock) == socket.SOCK_STREAM
        receives = RequestSide(
            states[0], limits[0], shared, queue, rio_rq, number, False, is_stream, table.RIOReceive, table.RIOReceiveEx
        )
        sends = RequestSide(
            states[1], limits[1], shared, queue, rio_rq, number, True, is_stream, table.RIOSend, table.RIOSendEx
        )
        queue.handle = SocketQueues(number, receives, sends)
        queue.post_receive, queue.post_send = receives.post, sends.post
        queue.post_receive_from, queue.post_send_to = receives.post_addressed, sends.post_addressed
        queue.commit_receives, queue.commit_sends = receives.commit, sends.commit
        self._sockets[number] = queue
        return queue

    def deregister_buffer(self, buffer: RegisteredBuffer) -> None:
        with self._in_call():
            self._drain_closing()
            if buffer.provider is not self:
                return  # an id of another provider is an invalid one here
            registration = self._shared.registrations.pop(buffer.buffer_id, None)
            if registration is not None:
                registration.is_gone = True
                if not registration.uses:
                    self._shared.forget(registration)

    def register_buffer(self, memory: bytearray | memoryview) -> RegisteredBuffer:
        function = "RIORegisterBuffer"
        try:
            pointer = ffi.from_buffer("char[]", memory, require_writable=True)
        except BufferError as error:
            raise RioCallError(function, Status.EFAULT, str(error)) from None
        length = len(pointer)
        if not 1 <= length <= _MASK32:
            raise RioCallError(function, Status.EINVAL, f"1 .. 2**32-1 bytes can be registered, not {length}")
        with self._in_call():
            rio_id = self.table.RIORegisterBuffer(pointer, length)
            if rio_id == RIO_INVALID_BUFFERID:
                raise RioCallError(function, last_error(), f"the memory has {length} bytes")
            buffer_id = next(self._shared.buffer_ids)
            self._shared.registrations[buffer_id] = Registration(rio_id, pointer, length)
            return RegisteredBuffer(self, buffer_id, length)

    def register_for_sending(self, memory: bytes | bytearray | memoryview) -> RegisteredBuffer:
        """See :meth:`Provider.register_for_sending`. Windows locks no memory that cannot be written."""
        if memoryview(memory).readonly:
            detail = "Windows registers no memory that cannot be written"
            raise RioCallError("RIORegisterBuffer", Status.EFAULT, detail)
        return self.register_buffer(memory)  # type: ignore[arg-type]

    def resize_completion_queue(self, completion_queue: CompletionQueue, queue_size: int) -> None:
        function = "RIOResizeCompletionQueue"
        with self._shared.lock:
            state = self._state(function, completion_queue)
            state.check_resize(function, queue_size)
            if not self.table.RIOResizeCompletionQueue(state.rio_cq, _with_spare(queue_size)):
                raise RioCallError(function, last_error(), f"queue_size is {queue_size}")
            state.capacity = queue_size

    def resize_request_queue(
        self, request_queue: RequestQueue, max_outstanding_receive: int, max_outstanding_send: int
    ) -> None:
        function = "RIOResizeRequestQueue"
        limits = (max_outstanding_receive, max_outstanding_send)
        with self._shared.lock:
            queues = self._queues(function, request_queue)
            sides = queues.receives, queues.sends
            check_new_limits(function, sides, limits)
            if sides[0].end_if_closed():
                raise RioCallError(function, Status.ENOTSOCK, "the socket is closed")
            if not self.table.RIOResizeRequestQueue(sides[0].rio_rq, *limits):
                raise RioCallError(function, last_error())
            sides[0].set_limit(limits[0])
            sides[1].set_limit(limits[1])

    def _close_completion_queue(self, completion_queue: CompletionQueue) -> None:
        with self._shared.lock:
            state = self._state("RIOCloseCompletionQueue", completion_queue)
            del self._completion_queues[state]
            self._closing.append(state)
            self._drain_closing()

    def _drain_closing(self) -> None:
        """Drop the results of closed queues, and free each queue after its last result."""
        for state in list(self._closing):
            while self._shared.dequeue(state, 64):
                pass
            if not state.outstanding:
                self._closing.remove(state)
                self.table.RIOCloseCompletionQueue(state.rio_cq)
                if state.signalling.signal is not None:
                    state.signalling.signal.leave()

    # -- beside the thirteen -----------------------------------------------------------------------------

    def make_socket(self, family: int, type: int, proto: int = 0) -> socket.socket:
        self._check_alive()
        return make_rio_socket(family, type, proto)

    def close_socket(self, request_queue: RequestQueue) -> None:
        with self._shared.lock:
            self._end(request_queue)
            request_queue.socket.close()

    def release_socket(self, request_queue: RequestQueue) -> None:
        """See :meth:`Provider.release_socket`. What is outstanding ends when the socket is closed, and no earlier."""
        with self._shared.lock:
            self._end(request_queue)
            self._released.add(request_queue.socket)

    def _end(self, request_queue: RequestQueue) -> None:
        if request_queue.is_closed:
            return
        queues = self._queues("closesocket", request_queue)
        for side in (queues.receives, queues.sends):
            if side in self._shared.dirty:
                side.commit()  # a refusal means that the connection is gone already
        request_queue.mark_closed()
        queues.end()
        if self._sockets.get(queues.number) is request_queue:
            del self._sockets[queues.number]

    def cancel(self, request_queue: RequestQueue, request_context: int) -> None:
        """See :meth:`Provider.cancel`. RIO has nothing like it.

        Raises:
          RioCallError: WSAEOPNOTSUPP, always.
        """
        raise RioCallError("cancel", Status.EOPNOTSUPP, "Windows cancels no single request; close the socket")

    def take_was_posted(self) -> bool:
        """Return whether a request was posted since the last call of this, and start over."""
        was, self._shared.was_posted = self._shared.was_posted, False
        return was

    def unannounced(self) -> list[Signalling]:
        """Find completion queues that were armed and hold results, but whose notification was not seen.

        It may be a moment late, or wait in the port. The results stay for the next
        dequeue. From any thread.
        """
        with self._shared.lock:
            return [state.signalling for state in self._completion_queues if self._shared.look_for_unannounced(state)]

    def commit_all(self) -> None:
        """See :meth:`Provider.commit_all`. One call for each direction that has deferred requests."""
        if self._shared.dirty:
            self._shared.commit_all()

    def create_port(self) -> WinsockPort:
        self._check_alive()
        return WinsockPort(self)

    def adopt_port(self, handle: int, packet_key: int) -> WinsockPort:
        """Use a completion port of another owner for packets of completion queues; for an I/O manager.

        Args:
          handle: of the port. Its owner closes it, after this provider.
          packet_key: the key that packets have there. :meth:`WinsockPort.key_of` tells whose one is.
        """
        self._check_alive()
        return WinsockPort(self, handle, packet_key)

    def create_event(self) -> WinsockEvent:
        self._check_alive()
        event = WinsockEvent(self)
        self._events.add(event)
        return event

    def completion_queue_usage(self, completion_queue: CompletionQueue) -> tuple[int, int]:
        state = self._state("completion_queue_usage", completion_queue)
        return state.capacity, state.charged

    def outstanding(self) -> int:
        if self._closing:
            with self._shared.lock:
                self._drain_closing()
        return len(self._shared.requests)

    def close(self) -> None:
        """See :meth:`Provider.close`. Sockets with requests outstanding are closed: nothing else ends them."""
        if self._is_closed:
            return
        shared = self._shared
        with shared.lock:
            for request_queue in list(self._sockets.values()):
                self._end(request_queue)
                request_queue.mark_closed(PROVIDER_CLOSED)
            for request_queue in {id(side.queue): side.queue for _, side, _ in shared.requests.values()}.values():
                with contextlib.suppress(OSError):
                    request_queue.socket.close()
            for completion_queue in list(self._completion_queues.values()):
                self.close_completion_queue(completion_queue)
                completion_queue.mark_closed(PROVIDER_CLOSED)
            self._is_closed = True
        deadline = time.monotonic() + self.drain_seconds
        while self.outstanding() and time.monotonic() < deadline:
            time.sleep(_DRAIN_STEP_SECONDS)
        self._free_memory()
        for event in list(self._events):
            event.close()

    def _free_memory(self) -> None:
        shared = self._shared
        held = [one for _, _, memories in shared.requests.values() for one in memories]
        for registration in shared.registrations.values():
            if not registration.uses:
                shared.forget(registration)
        shared.registrations.clear()
        if shared.requests:
            # The kernel still owns memory: freeing it would corrupt whatever comes next, so it is kept for good.
            leak((held, shared))
            self.leaked_bytes: int = sum(memory.length for memory in set(held))
            if self.drain_seconds:
                warnings.warn(
                    f"{len(shared.requests)} requests did not end within {self.drain_seconds} s; "
                    "their memory is leaked on purpose",
                    ResourceWarning,
                    stacklevel=3,
                )

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True):
            self.close()


def _not_ready(*_: object) -> int:
    return Status.EINVAL


def _with_spare(queue_size: int) -> int:
    return min(RIO_MAX_CQ_SIZE, 2 * queue_size + _SPARE_ENTRIES)
