"""The ``winsock`` provider's record of its queues and requests, and the checks before each call of the kernel.

Facts
=====
A request is known to Windows by two numbers and no more. Deregistering memory that a request uses is undefined, a call
on the queue of a closed socket reads freed memory, and whether a slice outside its registration is refused, and how, is
not said. A credit, and the association with memory, end when the result is dequeued. One call at a time on a request
queue, and on a completion queue; COMMIT_ONLY starts the requests of its own direction only.
[Microsoft Learn, the pages of RIOReceive, RIOSend, RIODequeueCompletion, RIODeregisterBuffer]

Consequence
===========
To keep the rules, this module must know the memory and the credit of each request. The caller's context cannot
identify a request, since a caller may use one context twice.

Decision
========
The kernel gets a *token* as the request's context, never used twice; :attr:`Shared.requests` says which request it
stands for. All rules are checked here, in Python, before the call: bounds, ids, credits, the socket's life. Buffer ids
are ours too, counted from 2**32, so that an old one never means new memory. One lock serialises everything.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs

from ..credits import Credits, Room
from ..errors import RioInternalError, Status
from ..types import (
    NO_BUFFER,
    RIO_CORRUPT_CQ,
    RIO_MSG_COMMIT_ONLY,
    RIO_MSG_DEFER,
    RIO_MSG_DONT_NOTIFY,
    RIO_MSG_WAITALL,
    BufferSlice,
    ExtendedSlices,
    RawResult,
    RequestQueue,
)
from .ffi import RIO_INVALID_RQ, ffi, last_error
from .signals import Signalling

_RESULT = struct.Struct("=iIQQ")  # RIORESULT
_BUF = struct.Struct("@PII")  # RIO_BUF
_FIRST_BUFFER_ID = 1 << 32
_ADDRESS_SIZE_BYTES = 28
_NULL = ffi.NULL

# What drivers report in place of the socket error that the sockets of Windows themselves translate it to.
_TRANSLATED = {
    64: int(Status.ECONNRESET),  # ERROR_NETNAME_DELETED
    121: int(Status.ETIMEDOUT),  # ERROR_SEM_TIMEOUT
    234: int(Status.EMSGSIZE),  # ERROR_MORE_DATA
    1225: int(Status.ECONNREFUSED),  # ERROR_CONNECTION_REFUSED
    1231: int(Status.ENETUNREACH),  # ERROR_NETWORK_UNREACHABLE
    1232: int(Status.EHOSTUNREACH),  # ERROR_HOST_UNREACHABLE
    1236: int(Status.ECONNABORTED),  # ERROR_CONNECTION_ABORTED
}
# What requests end with when their socket is closed here: which of these is not documented.
_ENDS_OF_CLOSED = (64, 1236, int(Status.ENOTSOCK), int(Status.ECONNABORTED))


@attrs.define(eq=False)
class Registration:
    """Registered memory. ``uses`` counts the requests that name it and are not dequeued."""

    rio_id: int
    memory: Any  # keeps the caller's object alive, and its size as it is
    length: int
    uses: int = 0
    is_gone: bool = False


@attrs.define(eq=False)
class CompletionState(Room):
    """A completion queue. ``outstanding`` counts the requests whose results will come here, or are here."""

    rio_cq: int
    signalling: Signalling
    outstanding: int = 0
    found: list[RawResult] = attrs.field(factory=list)  # dequeued from the kernel ahead of the caller's dequeue


# context of the caller, direction, memory of the data and of every other slice
Posted = tuple[int, "RequestSide", tuple[Registration, ...]]


@attrs.define(eq=False)
class Shared:
    """What the queues of one provider share."""

    table: Any
    lock: threading.RLock = attrs.field(factory=threading.RLock)
    registrations: dict[int, Registration] = attrs.field(factory=dict)
    buffer_ids: Iterator[int] = attrs.field(factory=lambda: itertools.count(_FIRST_BUFFER_ID))
    requests: dict[int, Posted] = attrs.field(factory=dict, repr=False)
    tokens: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    dirty: dict[RequestSide, None] = attrs.field(factory=dict)  # deferred requests wait for a commit
    was_posted: bool = False  # a request, since take_was_posted()
    slices: Any = attrs.field(init=False)  # RIO_BUF: data, local address, remote address, control, flags
    slice_pointers: list[Any] = attrs.field(init=False)
    slices_view: memoryview = attrs.field(init=False)
    results: Any = attrs.field(init=False)
    results_view: memoryview = attrs.field(init=False)
    results_room: int = 0

    def __attrs_post_init__(self) -> None:
        self.slices = ffi.new("RIO_BUF[5]")
        self.slice_pointers = [self.slices + index for index in range(5)]
        self.slices_view = memoryview(ffi.buffer(self.slices))
        self.make_room(64)

    def make_room(self, results: int) -> None:
        """Make room for that many results of one dequeue."""
        self.results_room = min(results, 1 << 16)
        self.results = ffi.new("RIORESULT[]", self.results_room)
        self.results_view = memoryview(ffi.buffer(self.results))

    # -- results ---------------------------------------------------------------------------------------

    def dequeue(self, state: CompletionState, limit: int) -> list[RawResult]:
        """RIODequeueCompletion, with the callers' own contexts.

        Raises:
          RioInternalError: the queue is corrupt, or has the result of an unknown request.
        """
        with self.lock:
            state.signalling.is_awaited = False
            if state.found:
                found, state.found = state.found[:limit], state.found[limit:]
                if len(found) < limit:
                    found += self._rows(state, limit - len(found))
                return [self._retire(*row) for row in found]
            return [self._retire(*row) for row in self._rows(state, limit)]

    def _rows(self, state: CompletionState, limit: int) -> Iterable[RawResult]:
        """RIODequeueCompletion as it is."""
        if limit > self.results_room:
            self.make_room(limit)
        count = self.table.RIODequeueCompletion(state.rio_cq, self.results, min(limit, self.results_room))
        if not count:
            return ()
        if count == RIO_CORRUPT_CQ:
            raise RioInternalError("RIODequeueCompletion answered RIO_CORRUPT_CQ: the completion queue is damaged")
        return _RESULT.iter_unpack(self.results_view[: count * _RESULT.size])

    def look_for_unannounced(self, state: CompletionState) -> bool:
        """Dequeue ahead from an armed queue that has not signalled; return whether it held results.

        Only dequeueing can tell. The results are kept for the next :meth:`dequeue`, and outstanding until then.
        """
        signalling = state.signalling
        if not (signalling.is_awaited and state.outstanding):
            return False
        if signalling.signal is not None and signalling.signal.is_signalled:
            return False
        if not state.found:
            state.found = list(self._rows(state, self.results_room))
        return bool(state.found)

    def _retire(self, status: int, count: int, socket_context: int, token: int) -> RawResult:
        posted = self.requests.pop(token, None)
        if posted is None:
            raise RioInternalError(f"a result came for request {token:#x}, which is not outstanding")
        context, side, memories = posted
        self._let_go(memories)
        side.completions.outstanding -= 1
        side.retire()
        if status:
            is_end = side.is_ended and status in _ENDS_OF_CLOSED
            status = int(Status.OPERATION_ABORTED) if is_end else _TRANSLATED.get(status, status)
        return status, count, socket_context, context

    def _let_go(self, memories: tuple[Registration, ...]) -> None:
        for memory in memories:
            memory.uses -= 1
            if memory.is_gone and not memory.uses:
                self.forget(memory)

    def forget(self, registration: Registration) -> None:
        """RIODeregisterBuffer. No request uses it."""
        self.table.RIODeregisterBuffer(registration.rio_id)
        registration.memory = None

    # -- commits ---------------------------------------------------------------------------------------

    def commit_all(self) -> None:
        """One COMMIT_ONLY for each direction that has deferred requests.

        A connection that is gone may refuse it: its requests then complete with the reason.

        Raises:
          RioInternalError: the table found fault with the call.
        """
        with self.lock:
            while self.dirty:
                side, _ = self.dirty.popitem()
                code = side.commit()
                if code in (Status.EINVAL, Status.EFAULT):
                    raise RioInternalError(f"RIO_MSG_COMMIT_ONLY was refused with {code}")


@attrs.define(eq=False)
class RequestSide(Credits[CompletionState]):
    """One direction of one socket: its credits, and the way of its requests into the kernel."""

    shared: Shared = attrs.field(repr=False)
    queue: RequestQueue = attrs.field(repr=False)
    rio_rq: int
    number: int  # the handle of the socket, as long as it is open
    is_send: bool
    is_stream: bool
    function: Callable[..., int]
    function_ex: Callable[..., int]
    # Declared again: to type checkers `+=` below would be a declaration of another attribute.
    outstanding: int = attrs.field(default=0, init=False)
    flags_taken: int = RIO_MSG_DONT_NOTIFY | RIO_MSG_DEFER
    is_bound: bool = True

    def __attrs_post_init__(self) -> None:
        Credits.__attrs_post_init__(self)
        if self.is_stream and not self.is_send:
            self.flags_taken |= RIO_MSG_WAITALL
        self.is_bound = self.is_stream or not self.is_send

    # -- the flat calls --------------------------------------------------------------------------------

    def post(self, buffer_id: int, offset: int, length: int, flags: int, context: int) -> int:
        """The flat form of RIOReceive and RIOSend."""
        shared = self.shared
        with shared.lock:
            memory = shared.registrations.get(buffer_id)
            if memory is None:
                if buffer_id or length:
                    return Status.EFAULT
                return self._hand_over(self.function, (_NULL, 0), (), flags, context, length)
            if offset < 0 or length < 0 or offset + length > memory.length:
                return Status.EINVAL
            _BUF.pack_into(shared.slices_view, 0, memory.rio_id, offset, length)
            return self._hand_over(self.function, (shared.slices, 1), (memory,), flags, context, length)

    def post_addressed(
        self,
        buffer_id: int,
        offset: int,
        length: int,
        address_buffer_id: int,
        address_offset: int,
        flags: int,
        context: int,
    ) -> int:
        """The flat form of RIOReceiveEx and RIOSendEx."""
        if self.is_stream:
            return Status.EINVAL
        address = BufferSlice(address_buffer_id, address_offset, _ADDRESS_SIZE_BYTES)
        data = BufferSlice(buffer_id, offset, length) if buffer_id != NO_BUFFER or length else None
        return self.post_full((data, None, address, None, None), flags, context)

    def post_full(self, slices: ExtendedSlices, flags: int, context: int) -> int:
        """RIOReceiveEx and RIOSendEx with everything: data, local address, remote address, control, flags."""
        shared = self.shared
        with shared.lock:
            memories: list[Registration] = []
            pointers: list[Any] = []
            for index, slice_ in enumerate(slices):
                if slice_ is None:
                    pointers.append(_NULL)
                    continue
                buffer_id, offset, length = slice_
                memory = shared.registrations.get(buffer_id)
                if memory is None:
                    return Status.EFAULT
                if offset < 0 or length < 0 or offset + length > memory.length:
                    return Status.EINVAL
                _BUF.pack_into(shared.slices_view, index * _BUF.size, memory.rio_id, offset, length)
                memories.append(memory)
                pointers.append(shared.slice_pointers[index])
            data = slices[0]
            arguments = (pointers[0], 0 if data is None else 1, *pointers[1:])
            length = 0 if data is None else data.length
            return self._hand_over(self.function_ex, arguments, tuple(memories), flags, context, length)

    def _hand_over(
        self,
        function: Callable[..., int],
        arguments: tuple[Any, ...],
        memories: tuple[Registration, ...],
        flags: int,
        context: int,
        length: int,
    ) -> int:
        """Hand a request to the kernel. It is recorded first: an exception in between must not lose it."""
        if (self.is_stream and not length) or flags & ~self.flags_taken:
            return Status.EINVAL
        if self.outstanding >= self.limit:
            return Status.ENOBUFS
        if self.end_if_closed():
            return Status.ENOTSOCK
        if not self.is_bound:
            self._bind()
        shared = self.shared
        token = next(shared.tokens)
        shared.requests[token] = (context, self, memories)
        shared.was_posted = True
        for memory in memories:
            memory.uses += 1
        self.outstanding += 1
        self.completions.outstanding += 1
        if not function(self.rio_rq, *arguments, flags, token):
            code = last_error()
            if code != Status.IO_PENDING:  # listed among the errors of RIOSend; the request is under way
                del shared.requests[token]
                shared._let_go(memories)
                self.outstanding -= 1
                self.completions.outstanding -= 1
                return code or Status.EINVAL
        if flags & RIO_MSG_DEFER:
            shared.dirty[self] = None
        return 0

    def _bind(self) -> None:
        """Bind a datagram socket before its first send, as Winsock's own send does; RIOSendEx may not."""
        self.is_bound = True
        sock = self.queue.socket
        try:
            sock.getsockname()
        except OSError:  # WSAEINVAL: it is not bound
            # If this fails the send will say why.
            with contextlib.suppress(OSError):
                sock.bind(("::" if sock.family == socket.AF_INET6 else "", 0))

    def commit(self) -> int:
        """RIO_MSG_COMMIT_ONLY for this direction."""
        with self.shared.lock:
            if self.end_if_closed():
                return Status.ENOTSOCK
            self.shared.dirty.pop(self, None)
            if self.function(self.rio_rq, _NULL, 0, RIO_MSG_COMMIT_ONLY, 0):
                return 0
            return last_error()

    # -- life ------------------------------------------------------------------------------------------

    def end_if_closed(self) -> bool:
        """End the queue if its socket was closed here or elsewhere; return whether it has ended."""
        if self.rio_rq != RIO_INVALID_RQ and self.queue.socket.fileno() == self.number:
            return False
        self.end()
        return True

    def end(self) -> None:
        """Zero the handle: the socket is closed, or given up. A thread on its way into post() finds no credit."""
        if not self.is_ended:
            self.rio_rq = RIO_INVALID_RQ
            self.shared.dirty.pop(self, None)
            self.refuse_more()


@attrs.define(eq=False)
class SocketQueues:
    """Both directions of one socket: the handle of a :class:`RequestQueue`."""

    number: int
    receives: RequestSide
    sends: RequestSide

    def end(self) -> None:
        """Zero the handle in both directions."""
        self.receives.end()
        self.sends.end()
