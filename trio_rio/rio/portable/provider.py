"""The portable provider: the RIO function table in Python on non-blocking sockets.

Facts. Every system that runs Python has non-blocking sockets and a way to wait for their readiness. RIO's
requests are more than a readiness report: they own memory, keep an order, hold a credit, and complete exactly
once. All of that is bookkeeping in user space, and needs no kernel.

Consequence. The table can be had everywhere, at the price of a system call and a few Python frames for each
request. It serves where the system has no completion queues or forbids them, as many containers do io_uring.

Decision. Four small parts: requests and their order (``requests``), results and what they hold (``queues``), ports and
events (``signals``), and the lock with the one thread that polls (``driver``). This file is the table itself. What
differs from a kernel with completion queues:

* A request is tried within its post or, with RIO_MSG_DEFER, at the commit; waiting for a port or event commits too.
* Readiness must be driven: ``Port.wait`` and ``Event.wait`` do; so does a dequeue of a queue that is
  polled, or finds nothing; an outer loop says so by :meth:`PortableProvider.drive`, calls
  :meth:`PortableProvider.progress` when :meth:`PortableProvider.fileno` is readable, and takes packets by
  ``port.on_packet``.
* One request can be cancelled.

Buffer ids are counted from 2**32 upwards: never 0, never RIO_INVALID_BUFFERID, and never used twice.
"""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import attrs

from ..api import CompletionQueue, Notification, Provider, ProviderName, RegisteredBuffer, RequestQueue
from ..checks import (
    check_notification,
    check_queue_size,
    completion_handle,
    request_handle,
)
from ..credits import check_new_limits, check_room
from ..errors import RioCallError, Status
from ..types import PROVIDER_CLOSED
from .driver import ReadinessDriver
from .queues import CompletionState
from .readiness import ReadinessWaits, SelectorWaits
from .requests import Memory, SocketQueues
from .signals import PortableEvent, PortablePort

_BUFFER_BYTES_MAX = (1 << 32) - 1
_FIRST_BUFFER_ID = 1 << 32


def _make_driver(waits: ReadinessWaits | None) -> ReadinessDriver:
    return ReadinessDriver(SelectorWaits() if waits is None else waits)


@attrs.define(eq=False)
class PortableProvider(Provider):
    """RIO on readiness.

    Args:
      waits: what to wait for readiness with; owned, and closed with the provider. ``None`` makes a
        :class:`~trio_rio.rio.portable.readiness.SelectorWaits`.

    Raises:
      OSError: no descriptors left.
    """

    name: ClassVar[ProviderName] = "portable"
    can_cancel: ClassVar[bool] = True
    registers_cheaply: ClassVar[bool] = True

    _driver: ReadinessDriver = attrs.field(alias="waits", default=None, converter=_make_driver)
    _memory: Memory = attrs.field(factory=Memory, init=False)
    _buffer_ids: Iterator[int] = attrs.field(factory=lambda: itertools.count(_FIRST_BUFFER_ID), init=False)
    _completion_queues: dict[CompletionState, CompletionQueue] = attrs.field(factory=dict, init=False)
    _socket_queues: set[SocketQueues] = attrs.field(factory=set, init=False)

    # -- The thirteen functions ----------------------------------------------------------------------------

    def create_completion_queue(self, queue_size: int, notification: Notification = None) -> CompletionQueue:
        function = "RIOCreateCompletionQueue"
        with self._driver.entry():
            check_queue_size(function, queue_size)
            check_notification(self, function, notification)
            state = CompletionState(queue_size, self._driver, notification)
            completion_queue = CompletionQueue(self, notification, state.dequeue, state.arm, state)
            self._completion_queues[state] = completion_queue
            return completion_queue

    def _in_call(self) -> AbstractContextManager[None]:
        return self._driver.entry()

    def _create_request_queue(
        self,
        sock: socket.socket,
        limits: tuple[int, int],
        completion_queues: tuple[CompletionQueue, CompletionQueue],
        socket_context: int,
    ) -> RequestQueue:
        """Makes the socket non-blocking, and leaves it so."""
        function = "RIOCreateRequestQueue"
        self._check_has_no_queue(function, sock)
        completions: Any = tuple(queue.handle for queue in completion_queues)
        check_room(function, completions, limits)
        sock.setblocking(False)
        queues = SocketQueues.make(self._driver, self._memory, sock, limits, completions, socket_context)
        request_queue = RequestQueue(
            self,
            sock,
            socket_context,
            post_receive=queues.receives.post,
            post_send=queues.sends.post,
            post_receive_from=queues.receives.post_addressed,
            post_send_to=queues.sends.post_addressed,
            commit_receives=queues.receives.commit,
            commit_sends=queues.sends.commit,
            handle=queues,
        )
        queues.request_queue = request_queue
        self._socket_queues.add(queues)
        return request_queue

    def deregister_buffer(self, buffer: RegisteredBuffer) -> None:
        with self._driver.entry(is_after_end_allowed=True):
            if buffer.provider is self:
                self._memory.writable.pop(buffer.buffer_id, None)
                self._memory.readable.pop(buffer.buffer_id, None)

    def register_buffer(self, memory: bytearray | memoryview) -> RegisteredBuffer:
        with self._driver.entry():
            view = _bytes_of(memory)
            if view.readonly:
                raise RioCallError("RIORegisterBuffer", Status.EFAULT, "the memory must be writable")
            buffer_id = next(self._buffer_ids)
            self._memory.writable[buffer_id] = self._memory.readable[buffer_id] = view
            return RegisteredBuffer(self, buffer_id, len(view))

    def register_for_sending(self, memory: bytes | bytearray | memoryview) -> RegisteredBuffer:
        with self._driver.entry():
            view = _bytes_of(memory)
            buffer_id = next(self._buffer_ids)
            self._memory.readable[buffer_id] = view
            return RegisteredBuffer(self, buffer_id, len(view))

    def resize_completion_queue(self, completion_queue: CompletionQueue, queue_size: int) -> None:
        function = "RIOResizeCompletionQueue"
        with self._driver.entry():
            state: CompletionState = completion_handle(self, function, completion_queue)
            state.check_resize(function, queue_size)
            state.capacity = queue_size

    def resize_request_queue(
        self, request_queue: RequestQueue, max_outstanding_receive: int, max_outstanding_send: int
    ) -> None:
        function = "RIOResizeRequestQueue"
        with self._driver.entry():
            queues: SocketQueues = request_handle(self, function, request_queue)
            limits = (max_outstanding_receive, max_outstanding_send)
            check_new_limits(function, (queues.receives, queues.sends), limits)
            queues.receives.set_limit(limits[0])
            queues.sends.set_limit(limits[1])

    # -- Beside the thirteen -------------------------------------------------------------------------------

    def close_socket(self, request_queue: RequestQueue) -> None:
        with self._driver.entry(is_after_end_allowed=True):
            self._end(request_queue)
            request_queue.socket.close()

    def release_socket(self, request_queue: RequestQueue) -> None:
        """See :meth:`Provider.release_socket`. The socket stays non-blocking."""
        with self._driver.entry(is_after_end_allowed=True):
            self._end(request_queue)

    def rebind_socket(self, request_queue: RequestQueue, sock: socket.socket) -> None:
        with self._driver.entry():
            queues: SocketQueues = request_handle(self, "rebind_socket", request_queue)
            request_queue.socket = sock
            queues.rebind(sock)

    def cancel(self, request_queue: RequestQueue, request_context: int) -> None:
        """See :meth:`Provider.cancel`. Ends every request with this context, should there be several."""
        with self._driver.entry(is_after_end_allowed=True):
            if not request_queue.is_closed:
                queues: SocketQueues = request_handle(self, "cancel", request_queue)
                queues.receives.cancel(request_context)
                queues.sends.cancel(request_context)

    def try_sends(self, request_queue: RequestQueue) -> bool:
        with self._driver.entry():
            queues: SocketQueues = request_handle(self, "try_sends", request_queue)
            queues.sends.serve()
            return bool(queues.sends.pending)

    def commit_all(self) -> None:
        driver = self._driver
        driver.refuse_other_process()
        driver.refuse_closed()
        if driver.deferred:
            with driver.lock:
                driver.start_deferred()

    def create_port(self) -> PortablePort:
        with self._driver.entry():
            return PortablePort(self, self._driver)

    def create_event(self) -> PortableEvent:
        with self._driver.entry():
            return PortableEvent(self, self._driver)

    def completion_queue_usage(self, completion_queue: CompletionQueue) -> tuple[int, int]:
        with self._driver.entry():
            state: CompletionState = completion_handle(self, "completion_queue_usage", completion_queue)
            return state.capacity, state.charged

    def outstanding(self) -> int:
        with self._driver.entry(is_after_end_allowed=True):
            pending = sum(len(one.receives.pending) + len(one.sends.pending) for one in self._socket_queues)
            return pending + sum(len(state.results) for state in self._completion_queues)

    def close(self) -> None:
        """See :meth:`Provider.close`. In a forked child: close the copies of its descriptors, and nothing else."""
        driver = self._driver
        if os.getpid() != driver.pid:
            driver.waits.close()
            return
        with driver.lock:
            if driver.is_closed:
                return
            for queues in list(self._socket_queues):
                request_queue = queues.request_queue
                self._end(request_queue)
                request_queue.mark_closed(PROVIDER_CLOSED)
            for completion_queue in list(self._completion_queues.values()):
                self.close_completion_queue(completion_queue)
                completion_queue.mark_closed(PROVIDER_CLOSED)
            self._memory.writable.clear()
            self._memory.readable.clear()
            driver.close()

    def drive(self) -> None:
        """Leave readiness to an outer loop, which calls :meth:`progress`: dequeues no longer look at it."""
        self._driver.is_driven = True

    def progress(self) -> None:
        """Serve whatever is ready, without waiting: for an outer loop, when :meth:`fileno` is readable."""
        with self._driver.entry():
            self._driver.progress()

    def fileno(self) -> int:
        """A descriptor that is readable when :meth:`progress` has something to do; -1 where there is none."""
        with self._driver.entry():
            return self._driver.waits.fileno()

    # -- Checks; the lock is held --------------------------------------------------------------------------

    def _close_completion_queue(self, completion_queue: CompletionQueue) -> None:
        with self._driver.entry():
            state: CompletionState = completion_handle(self, "RIOCloseCompletionQueue", completion_queue)
            state.close()
            del self._completion_queues[state]

    def _end(self, request_queue: RequestQueue) -> None:
        if not request_queue.is_closed:
            queues: SocketQueues = request_handle(self, "closesocket", request_queue)
            request_queue.mark_closed()
            self._socket_queues.discard(queues)
            queues.end()

    def _check_has_no_queue(self, function: str, sock: socket.socket) -> None:
        fd = sock.fileno()
        present = self._driver.sockets.get(fd)
        if isinstance(present, SocketQueues):
            if present.sock.fileno() == fd:
                raise RioCallError(function, Status.EINVAL, "the socket has a request queue already")
            present.lose()  # its socket was closed without us, and the number is in use again


def _bytes_of(memory: bytes | bytearray | memoryview) -> memoryview:
    view = memoryview(memory)
    if not view.c_contiguous or not 1 <= view.nbytes <= _BUFFER_BYTES_MAX:
        raise RioCallError("RIORegisterBuffer", Status.EINVAL, "1 .. 2**32-1 bytes in one piece can be registered")
    return view.cast("B")


__all__ = ["PortableEvent", "PortablePort", "PortableProvider"]
