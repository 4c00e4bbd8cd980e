"""The RIO function table on io_uring (Linux 5.11 and later).

Facts
=====
An io_uring is two rings of memory shared with the kernel: one call, io_uring_enter(2), submits what was prepared
and waits for completions; reading a completion takes no call. It promises no order among several operations of
one direction of a socket, ties an operation to the thread that submitted it, and completes a cancelled operation
like any other, exactly once. [io_uring(7), io_uring_enter(2), io_uring_cancelation(7)]

RIO has queues of its own beside the kernel's: a completion queue that a request queue has reserved room in, a
notification that is asked for each time, requests that start at a commit.

Consequence
===========
Request queues, completion queues and the notify flag live in user space, in C (``native/``); the ring below is
what really is shared with the kernel, and plays the completion port. The way of a request::

    post ──▶ direction's queue ──head──▶ staged ──commit or wait──▶ ring ──▶ completion queue ──▶ dequeue

Decision
========
- One request per direction is in the kernel, so order is RIO's. A stream send that ends short goes on by itself.
- A deferred request is staged like any other; it starts with the next submission of the ring, which RIO allows.
- :meth:`UringProvider.cancel` is IORING_OP_ASYNC_CANCEL for the one request, at once. So is closing a socket, for
  all of its requests: close(2) alone would send no FIN while a request holds the file.
- Features are found by trying them; ``system.FEATURES`` says which kernel brought each, and what it is used for.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import warnings
import weakref
from array import array
from functools import partial
from typing import Any, ClassVar

from ..api import (
    CompletionQueue,
    EventNotification,
    Notification,
    PortNotification,
    Provider,
    ProviderName,
    RawResult,
    RegisteredBuffer,
    RequestQueue,
    RioResult,
    SendRow,
    SlotRow,
)
from ..checks import (
    check_limits,
    check_notification,
    check_queue_size,
    completion_handle,
    leak,
    raw_type,
    request_handle,
)
from ..errors import RioCallError, Status
from ..new_bytes import new_bytes
from ..types import PROVIDER_CLOSED
from .request_queue import UringRequestQueue
from .results import ResultArray
from .ring import Ring
from .signals import UringEvent, UringPort, nanoseconds
from .system import FEATURES

# Entries of the submission ring; a longer batch is submitted in parts. The completion ring is eight times as long.
DEFAULT_RING_ENTRIES = 512


class UringProvider(Ring, Provider):
    """RIO on one io_uring.

    Belongs to the thread that makes it: the kernel ends a thread's requests with the thread, so only that thread
    submits. Other threads may post, commit and dequeue; what they post starts when the owner next waits, posts
    or dequeues.

    Args:
      ring_entries: size of the submission ring; the kernel rounds up to a power of two and caps it.
      withhold_setup_flags: setup flags that are not to be used, to run as on an older kernel (for tests).

    Raises:
      RioUnavailableError: no ring can be made here; says why and what to do.
    """

    name: ClassVar[ProviderName] = "uring"
    can_cancel: ClassVar[bool] = True
    registers_cheaply: ClassVar[bool] = True
    holds_files: ClassVar[bool] = True

    def __init__(self, ring_entries: int = DEFAULT_RING_ENTRIES, withhold_setup_flags: int = 0) -> None:
        if ring_entries < 1:
            raise ValueError(f"ring_entries must be at least 1, not {ring_entries}")
        super().__init__(ring_entries, withhold_setup_flags)
        # Memory that the kernel may use, by buffer id.
        self._memory: dict[int, Any] = {}
        #: Buffer ids that are deregistered while still in use: while there are some, :meth:`note_dequeued` has work.
        self.postponed: set[int] = set()
        self._sockets: dict[int, RequestQueue] = {}
        self._descriptors: dict[object, int] = {}  # by handle: the descriptor may be closed by then
        self._events: weakref.WeakSet[UringEvent] = weakref.WeakSet()
        self._completion_queues: set[CompletionQueue] = set()  # kept: one that the user drops still writes to its event
        self._dequeue_lock = threading.Lock()  # for threads that share a queue
        table, core = self.lib.rio_table_address(), int(self.ffi.cast("uintptr_t", self.core))
        self.native_table: tuple[int, int] | None = (table, core)

    # -- helpers ---------------------------------------------------------------------------------------

    def _completion_handle(self, function: str, completion_queue: CompletionQueue) -> Any:
        if completion_queue.is_closed:
            self.check_alive()
        return completion_handle(self, function, completion_queue)

    def _request_handle(self, function: str, request_queue: RequestQueue) -> Any:
        if request_queue.is_closed:
            self.check_alive()
        return request_handle(self, function, request_queue)

    # -- the thirteen ------------------------------------------------------------------------------------

    def create_completion_queue(self, queue_size: int, notification: Notification = None) -> CompletionQueue:
        kind, event_fd, reset, port, key = 0, -1, 0, 0, 0
        function = "RIOCreateCompletionQueue"
        self.check_alive()
        check_queue_size(function, queue_size)
        check_notification(self, function, notification)
        signal: Any
        if isinstance(notification, EventNotification):
            signal = notification.event
            kind, event_fd, reset, port = 1, signal.fd, int(notification.notify_reset), signal.port.handle
        elif isinstance(notification, PortNotification):
            signal, key = notification.port, notification.completion_key
            kind, port = 2, signal.handle
        handle = self.ffi.new("uint64_t *")
        code = self.lib.rio_create_completion_queue(self.core, queue_size, kind, event_fd, reset, port, key, handle)
        self.check(function, code, f"queue_size is {queue_size}")
        if isinstance(notification, EventNotification):
            signal.users += 1
        completion_queue = CompletionQueue(
            provider=self,
            notification=notification,
            dequeue=partial(self._dequeue, ResultArray(self.native, self.core, handle[0], self.raise_for)),
            arm=partial(self.lib.rio_notify, self.core, handle[0]),
            handle=handle[0],
        )
        self._completion_queues.add(completion_queue)
        return completion_queue

    def _dequeue(self, array: ResultArray, limit: int) -> list[RawResult]:
        results = array.take(limit)
        self.note_dequeued()
        return results

    def note_dequeued(self) -> None:
        if self.postponed:
            self._free_postponed()

    def _free_postponed(self) -> None:
        for buffer_id in list(self.postponed):  # a copy: another thread may dequeue another queue
            if not self.lib.rio_buffer_uses(self.core, buffer_id):
                self.postponed.discard(buffer_id)
                self._memory.pop(buffer_id, None)

    def _in_call(self) -> contextlib.AbstractContextManager[None]:
        self.check_alive()
        return contextlib.nullcontext()

    def _create_request_queue(
        self,
        sock: socket.socket,
        limits: tuple[int, int],
        completion_queues: tuple[CompletionQueue, CompletionQueue],
        socket_context: int,
    ) -> RequestQueue:
        function = "RIOCreateRequestQueue"
        fd = sock.fileno()
        earlier = self._sockets.get(fd)
        if earlier is not None:
            if earlier.socket.fileno() == fd:
                raise RioCallError(function, Status.EINVAL, "the socket has a request queue already")
            self.release_socket(earlier)  # its socket was closed elsewhere, and the number reused
        handle = self.ffi.new("uint64_t *")
        code = self.lib.rio_create_request_queue(
            self.core, fd, raw_type(sock) == socket.SOCK_STREAM, *limits,
            completion_queues[0].handle, completion_queues[1].handle, socket_context, handle,
        )  # fmt: skip
        self.check(function, code)
        try:
            queue = UringRequestQueue(self, sock, socket_context, handle[0])
            self._sockets[fd] = queue
            self._descriptors[handle[0]] = fd
        except MemoryError:
            self._sockets.pop(fd, None)
            self.lib.rio_close_request_queue(self.core, handle[0])
            raise
        return queue

    def dequeue_completion(self, completion_queue: CompletionQueue, array_length: int) -> list[RioResult]:
        self.check_alive()  # first: in a forked child a thread that is not there may hold the lock
        with self._dequeue_lock:
            return super().dequeue_completion(completion_queue, array_length)

    def deregister_buffer(self, buffer: RegisteredBuffer) -> None:
        self.check_alive()
        if buffer.provider is not self:
            return  # an id of another provider is an invalid one here
        uses = self.lib.rio_deregister_buffer(self.core, buffer.buffer_id)
        if uses == 0:
            self._memory.pop(buffer.buffer_id, None)
        elif uses > 0:
            self.postponed.add(buffer.buffer_id)

    def register_buffer(self, memory: bytearray | memoryview) -> RegisteredBuffer:
        self.check_alive()
        try:
            pointer = self.ffi.from_buffer("char[]", memory, require_writable=True)
        except BufferError as error:
            raise RioCallError("RIORegisterBuffer", Status.EFAULT, str(error)) from None
        return self._register(pointer, is_read_only=False)

    def register_for_sending(self, memory: bytes | bytearray | memoryview) -> RegisteredBuffer:
        return self._register(self.ffi.from_buffer("char[]", memory), is_read_only=True)

    def register_new_bytes(self, size_bytes: int) -> tuple[RegisteredBuffer, bytes] | None:
        if new_bytes is None:
            return None
        memory = new_bytes(size_bytes)
        return self._register(self.ffi.from_buffer("char[]", memory), is_read_only=False), memory

    def _register(self, pointer: Any, *, is_read_only: bool) -> RegisteredBuffer:
        length = len(pointer)
        buffer_id = self.ffi.new("uint64_t *")
        code = self.lib.rio_register_buffer(self.core, pointer, length, is_read_only, buffer_id)
        self.check("RIORegisterBuffer", code, f"the memory has {length} bytes")
        try:
            self._memory[buffer_id[0]] = pointer
            return RegisteredBuffer(self, buffer_id[0], length)
        except MemoryError:
            self._memory.pop(buffer_id[0], None)
            self.lib.rio_deregister_buffer(self.core, buffer_id[0])
            raise

    def resize_completion_queue(self, completion_queue: CompletionQueue, queue_size: int) -> None:
        function = "RIOResizeCompletionQueue"
        handle = self._completion_handle(function, completion_queue)
        check_queue_size(function, queue_size)
        self.check(function, self.lib.rio_resize_completion_queue(self.core, handle, queue_size))

    def resize_request_queue(
        self, request_queue: RequestQueue, max_outstanding_receive: int, max_outstanding_send: int
    ) -> None:
        function = "RIOResizeRequestQueue"
        handle = self._request_handle(function, request_queue)
        check_limits(function, (max_outstanding_receive, max_outstanding_send))
        code = self.lib.rio_resize_request_queue(self.core, handle, max_outstanding_receive, max_outstanding_send)
        self.check(function, code)

    def _close_completion_queue(self, completion_queue: CompletionQueue) -> None:
        function = "RIOCloseCompletionQueue"
        handle = self._completion_handle(function, completion_queue)
        self.check(function, self.lib.rio_close_completion_queue(self.core, handle))
        self._forget(completion_queue)
        self._free_postponed()

    def _forget(self, completion_queue: CompletionQueue) -> None:
        self._completion_queues.discard(completion_queue)
        if isinstance(completion_queue.notification, EventNotification):
            event: Any = completion_queue.notification.event
            event.leave()

    # -- beside the thirteen -----------------------------------------------------------------------------

    def close_socket(self, request_queue: RequestQueue) -> None:
        self.release_socket(request_queue)
        request_queue.socket.close()

    def release_socket(self, request_queue: RequestQueue) -> None:
        if request_queue.is_closed:
            return
        handle = self._request_handle("closesocket", request_queue)
        request_queue.mark_closed()
        fd = self._descriptors.pop(handle, -1)
        if self._sockets.get(fd) is request_queue:
            del self._sockets[fd]
        if not self.is_closed:
            self.check("closesocket", self.lib.rio_close_request_queue(self.core, handle))
            self._free_postponed()

    def rebind_socket(self, request_queue: RequestQueue, sock: socket.socket) -> None:
        handle, fd = self._request_handle("rebind_socket", request_queue), sock.fileno()
        self.check("rebind_socket", self.lib.rio_rebind(self.core, handle, fd))
        self._sockets.pop(self._descriptors[handle], None)
        self._sockets[fd] = request_queue
        self._descriptors[handle] = fd
        request_queue.socket = sock

    def cancel(self, request_queue: RequestQueue, request_context: int) -> None:
        if not request_queue.is_closed:
            handle = self._request_handle("cancel", request_queue)
            self.check("cancel", self.lib.rio_cancel(self.core, handle, request_context))

    def try_sends(self, request_queue: RequestQueue) -> bool:
        left = int(self.lib.rio_try_sends(self.core, self._request_handle("try_sends", request_queue)))
        self.check("try_sends", max(0, -left))
        return left > 0

    def post_receives(
        self, request_queue: RequestQueue, slots: SlotRow, first_context: int, count: int, flags: int
    ) -> int:
        function = "RIOReceiveEx"
        handle = self._request_handle(function, request_queue)
        posted: int = self.lib.rio_receive_many(self.core, handle, *slots, count, flags, first_context)
        if posted < 0:
            self.raise_for(function, -posted)
        return posted

    def post_sends(
        self, request_queue: RequestQueue, data: SendRow, lengths: array[int], first_context: int, flags: int
    ) -> int:
        function = "RIOSendEx"
        handle = self._request_handle(function, request_queue)
        buffer_id, offset, has_addresses, address_offset = data
        posted: int = self.lib.rio_send_many(
            self.core, handle, buffer_id, offset, self.ffi.from_buffer("uint32_t[]", lengths),
            has_addresses, address_offset, len(lengths), flags, first_context,
        )  # fmt: skip
        if posted < 0:
            self.raise_for(function, -posted)
        return posted

    def commit_all(self) -> None:
        self.check("commit_all", self.lib.rio_commit_all(self.core))

    def create_port(self) -> UringPort:
        self.check_alive()
        handle = self.ffi.new("uint64_t *")
        self.check("create_port", self.lib.rio_port_create(self.core, handle))
        return UringPort(self, handle[0])

    def own_port(self) -> UringPort:
        """The port of the ring itself, on which readiness waits end as well; for an I/O manager."""
        return UringPort(self, 0)

    def create_event(self) -> UringEvent:
        event = UringEvent(self, self.create_port())
        self._events.add(event)
        return event

    def completion_queue_usage(self, completion_queue: CompletionQueue) -> tuple[int, int]:
        function = "completion_queue_usage"
        handle = self._completion_handle(function, completion_queue)
        capacity, charged = self.ffi.new("uint32_t *"), self.ffi.new("uint32_t *")
        self.check(function, self.lib.rio_completion_queue_usage(self.core, handle, capacity, charged))
        return capacity[0], charged[0]

    def info(self) -> Any:
        """Counters of the C core (``rio_info`` in native/rio.h)."""
        info = self.ffi.new("rio_info *")
        self.check("info", self.lib.rio_core_info(self.core, info))
        return info[0]

    def features(self) -> list[tuple[str, bool, str, str]]:
        """(name, whether the running kernel has it, since when, what it is used for)."""
        info = self.info()
        return [
            (f.name, bool(info.setup_flags & f.setup_flag or info.features & f.ring_feature), f.since, f.used_for)
            for f in FEATURES
        ]

    def outstanding(self) -> int:
        return 0 if self.is_closed else int(self.info().requests_outstanding)

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True  # first: another thread may close it in the same moment
        forked = self.is_forked()
        held = self.lib.rio_core_close(self.core, nanoseconds(self.drain_seconds))
        for queue in list(self._sockets.values()):
            queue.mark_closed(PROVIDER_CLOSED)
        self._sockets.clear()
        self._descriptors.clear()
        for completion_queue in list(self._completion_queues):
            completion_queue.mark_closed(PROVIDER_CLOSED)
            self._forget(completion_queue)
        for event in list(self._events):
            event.close()
        if held and not forked:
            # The kernel still owns memory: freeing it would corrupt whatever comes next, so it is kept for good.
            leak(self._memory)
            self.leaked_bytes: int = sum(len(memory) for memory in self._memory.values())
            if self.drain_seconds:
                warnings.warn(
                    f"{held} requests or waits did not end; what they use is leaked on purpose",
                    ResourceWarning,
                    stacklevel=2,
                )
        self._memory = {}
        self.postponed.clear()

    def __del__(self) -> None:
        if not getattr(self, "is_closed", True):
            self.close()
