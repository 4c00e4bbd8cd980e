"""A channel: the requests of one socket.

Two ways to receive
===================
*On demand*: a task posts one receive and waits for just that one. The kernel buffers what nobody asked for, so back
pressure and other readers of the file are exactly as with plain sockets. *Ahead* (``read_ahead.py``): receives stay
posted.

Two ways to send
================
*One by one*: a task posts a send and waits for its completion, so an error reaches the call that it belongs to.
*Inside a window* (``send_window.py``): a task waits for room, posts, and goes on.

Which of them is the run's configuration. Where one request can be cancelled it is on demand, and one by one.

Rules. One reader at a time (``conflicts.py``). The busy mark ends with the completion, not when the task runs. After
:meth:`Channel.close` no request of the socket reaches the kernel."""

from __future__ import annotations

import contextlib
import functools
import socket
import warnings
from typing import TYPE_CHECKING, Any

import attrs
import trio
from trio.lowlevel import enable_ki_protection

from .._trio import GLOBAL_RUN_CONTEXT, NO_TASK, enter_cancel_point, spawn_uncounted
from ..rio import RIO_MSG_DEFER, Status
from ..rio.types import MSG_PART
from .conflicts import claim_receive, claim_send
from .copies import is_ordinary
from .read_ahead import DATAGRAM_BYTES_MAX, ReadAhead
from .requests import POSTED, SEND_NOW_BYTES_MAX, WAITED, Request, Step, closed_error, raise_refused
from .send_window import SendWindow
from .traffic import NO_FD, Traffic

if TYPE_CHECKING:
    from ..rio import RegisteredBuffer
    from .arena import Slice

# What a send takes of a caller's own memory: a registration, and the system's own send, have less than 4 and 2 GiB. No
# datagram is so long, so that what is left of one fails as the whole would.
_REGISTERED_MAX_BYTES = 1 << 30


@attrs.define(eq=False)
class Channel(Traffic):
    """See the module's docstring. Made by :meth:`Engine.attach`; belongs to that engine's run."""

    part_flags: int = attrs.field(init=False)  # of a send that is done when the system takes no more for now
    ahead: ReadAhead | None = None  # None: receives are made on demand
    window: SendWindow | None = None  # None: each send is waited for
    users: int = 0  # Trio sockets that have it
    is_lingering: bool = False
    lingered: trio.Event | None = None  # set when a socket that lingers is closed for good

    def __attrs_post_init__(self) -> None:
        Traffic.__attrs_post_init__(self)
        engine = self.engine
        if not engine.cancels_requests or engine.read_ahead_of(self.sock):
            self.ahead = ReadAhead(self, self._end_outdated)
        if engine.send_window_bytes:
            self.window = SendWindow(self, engine.send_window_bytes)
        # Windows sends all of a slice; what does not fit into one is the part.
        takes_parts = self.is_stream and engine.provider.can_cancel
        self.part_flags = RIO_MSG_DEFER | MSG_PART if takes_parts else RIO_MSG_DEFER
        self.is_direct = self.ahead is None and self.window is None
        self.receive_size_bytes = max(engine.arena.large_size_bytes, engine.arena.bulk_size_bytes)

    def is_free_for_datagrams(self) -> bool:
        """Whether a plain call of the socket overtakes nothing: datagrams, on demand, and no task waits for one."""
        return (
            self.is_direct
            and not self.is_stream
            and self.reader is None
            and self.is_usable()
            and self.read_key not in self.waits
        )

    # -- receiving on demand -------------------------------------------------------------------------------

    def post_receive(self, size: int, may_make_bytes: bool = False) -> Request | None:
        """Post a receive of at most ``size`` bytes for the current task, or say ``None`` when RIO cannot serve.

        That of a datagram brings its address.
        The task then waits with ``wait_task_rescheduled(request.abort)`` and takes the result. With ``may_make_bytes``
        there may be no slice, and only :meth:`take_bytes` will do.

        Raises:
          BusyResourceError: another task's receive has to wait.
        """
        pool, arena = self.pool, self.pool.arena
        task = getattr(GLOBAL_RUN_CONTEXT, "task", NO_TASK)
        if task._runner is not self.engine.runner or self.fileno() != self.fd:
            return None
        if (self.reader is not None or self.read_key in self.waits) and not claim_receive(self):
            return None
        large = size > arena.small_size_bytes and (self.is_busy or not self.is_stream)
        request = None
        if large and self.is_bulk and size > arena.large_size_bytes:
            request = (pool.take_to_fill_bytes() if may_make_bytes else None) or pool.take_bulk()
        if request is None:
            free = pool.large if large else pool.small
            request = free.pop() if free else pool.take(large=large)
            if request is None:
                return None
        slice_: Slice = request.slice  # type: ignore[assignment]
        if request.memory is None:
            buffer_id, offset, room = slice_.buffer_id, slice_.offset, slice_.size_bytes
        else:
            registered: RegisteredBuffer = request.registered  # type: ignore[assignment]
            buffer_id, offset, room = registered.buffer_id, 0, registered.length
        if size > room:
            if not self.is_stream and room < DATAGRAM_BYTES_MAX:
                pool.finish(request)  # it would cut what the caller has room for
                return None
            size = room
        request.channel = self
        request.task = task
        request.is_receive = True
        request.length = size
        request.state = WAITED  # TRANSITIONS[FREE][POST_AND_WAIT]
        queue = self.request_queue
        try:
            if self.is_stream:
                code = queue.post_receive(buffer_id, offset, size, RIO_MSG_DEFER, request.context)
            else:
                code = queue.post_receive_from(
                    buffer_id, offset, size, buffer_id, slice_.address_offset, RIO_MSG_DEFER, request.context
                )
            if code and code != Status.ENOBUFS:
                raise_refused(self.engine.provider, code)
        except BaseException:
            pool.finish(request)
            raise
        if code:
            pool.finish(request)
            return None
        self.reader = request
        return request

    @enable_ki_protection  # the engine in C calls it with nothing but the caller's frame below
    def take_bytes(self, request: Request) -> bytes:
        """Return the bytes that a receive brought, and give its memory back.

        Raises:
          MemoryError: there is no memory for them: the next reader has them.
        """
        if self.ahead is not None and self.ahead.unread:
            self.put_back(request)
            return self.ahead.read(request.length)[0]
        count = request.count
        try:
            if request.memory is None:
                part: Slice = request.slice  # type: ignore[assignment]
                data: bytes = part.memory[part.offset : part.offset + count].tobytes()
            else:
                data = request.memory if count == len(request.memory) else request.memory[:count]
        except MemoryError:
            self.put_back(request)
            raise
        if count == request.length or self.is_busy:
            self.note_received(request)
        self.pool.finish(request)
        return data

    def put_back(self, request: Request) -> None:
        """Keep what a receive on demand has brought for the next reader; behind what was put back before."""
        ahead = self.ahead_or_new()
        ahead.unread.append(request)
        self.keep_unread(ahead)

    def ahead_or_new(self) -> ReadAhead:
        """Return the socket's read-ahead, or a new one that posts nothing and is for what is put back."""
        return self.ahead or ReadAhead(self, self._end_outdated, self._end_put_back)

    def keep_unread(self, ahead: ReadAhead) -> None:
        """Let the next reader have first what is unread in ``ahead``."""
        if self.is_closed:
            ahead.end()
            return
        self.ahead = ahead
        self.is_direct = False
        self.is_busy = True  # or RioStream takes a small one by itself

    def _end_put_back(self) -> None:
        self.ahead = None
        self.is_direct = not self.is_closed and self.window is None

    def _end_outdated(self) -> None:
        self.abandon(wakes=True)

    # -- sending -------------------------------------------------------------------------------------------

    def send_now(self, data: bytes | memoryview) -> int:
        """Send what the socket takes at once, if there is nothing to send it with; how many bytes. 0: post them.

        One visit to the kernel for many requests beats a visit for each; but a task that is alone has the visit, a
        completion and a notification to itself. A cancel point; the caller makes it a checkpoint.
        """
        send = self.request_queue.send_now
        if (
            send is None
            or self.pool.woken > 1
            or len(data) > SEND_NOW_BYTES_MAX
            or self.sends
            or self.write_key in self.waits
            or not self.is_direct
            or not self.is_usable()
            or enter_cancel_point()
        ):
            return 0
        return send(data if type(data) is bytes else bytes(data), len(data))

    def post_send(
        self, data: bytes | bytearray | memoryview, address: bytes | None, *, wait: bool, flags: int = RIO_MSG_DEFER
    ) -> Request | None:
        """Post a send; ``None`` when RIO cannot serve it now. Only a datagram may be empty.

        Args:
          data: bytes, a bytearray, or a flat memoryview of bytes. A long view, or one of other than ordinary memory,
            belongs to the request until its completion if ``wait`` is true; all else is copied.
          address: a SOCKADDR_INET, for a datagram.
          wait: the current task will wait for the completion.
          flags: of the post; :attr:`part_flags` if a part of a stream's data is enough.

        Raises:
          BusyResourceError: another task's send on this socket has to wait.
        """
        engine, pool, task = self.engine, self.pool, getattr(GLOBAL_RUN_CONTEXT, "task", NO_TASK)
        if task._runner is not engine.runner or self.fileno() != self.fd:
            return None
        if wait and (self.sends or self.write_key in self.waits) and not claim_send(self):
            return None
        size, is_copied = len(data), True  # here; else the kernel does
        if type(data) is memoryview:
            is_copied = is_ordinary(data) or engine.leases.has_lent(data.obj)
        request: Request | None = None
        if (size <= engine.copy_bytes_max and is_copied) or not wait:
            free = pool.large if size > pool.arena.small_size_bytes else pool.small
            request = free.pop() if free else pool.take(large=free is pool.large)
        if request is not None and size > (room := request.slice.size_bytes):  # type: ignore[union-attr]
            if self.is_stream:
                size, data = room, data[:room]
            else:
                pool.finish(request)
                request = None
        if request is not None:
            slice_: Slice = request.slice  # type: ignore[assignment]
            if not is_copied:
                pool.fill_by_kernel(request, data)
            else:
                slice_.view[:size] = data
            buffer_id, offset, address_offset = slice_.buffer_id, slice_.offset, slice_.address_offset
            if address is not None:
                slice_.address[:] = address
        else:
            is_apt = address is None and wait and type(data) is not bytearray
            request = pool.take_to_send_from(memoryview(data)[:_REGISTERED_MAX_BYTES]) if is_apt else None
            if request is None:
                return None
            size, buffer_id = request.registered.length, request.registered.buffer_id  # type: ignore[union-attr]
            offset = address_offset = 0
        request.channel, request.is_receive, request.length = self, False, size
        request.task = task if wait else None
        request.state = WAITED if wait else POSTED  # TRANSITIONS[FREE][POST_AND_WAIT], or [POST]
        try:
            if address is None:
                code = self.request_queue.post_send(buffer_id, offset, size, flags, request.context)
            else:
                code = self.request_queue.post_send_to(
                    buffer_id, offset, size, buffer_id, address_offset, flags, request.context
                )
            if code and code != Status.ENOBUFS:
                raise_refused(engine.provider, code)
        except BaseException:
            pool.finish(request)
            raise
        if code:
            pool.finish(request)
            return None
        self.sends.add(request)
        return request

    async def send_in_window(
        self, window: SendWindow, data: bytes | bytearray | memoryview, address: bytes | None
    ) -> int | None:
        """Wait for room, post, and return how many bytes were taken; ``None`` when there is no memory for them.

        A checkpoint. Cancelled while waiting, nothing of ``data`` is sent. Raises as :meth:`SendWindow.wait_to_post`.
        """
        await window.wait_to_post()
        request = self.post_send(data, address, wait=False)
        if request is None:
            return None
        count = request.length
        window.bytes_in_flight += count
        await trio.lowlevel.cancel_shielded_checkpoint()
        return count

    def take_to_fill(self, size: int) -> Request | None:
        """A request with a slice of at least ``size`` bytes for a task to fill; ``None``: there is no memory for it."""
        return self.pool.take(large=size > self.pool.arena.small_size_bytes, least_bytes=size)

    def post_filled(self, request: Request, size: int) -> bool:
        """Post the first ``size`` bytes of a slice that a task has filled. False: RIO cannot serve it now.

        The current task will wait for the completion, unless there is a window.

        Raises:
          BusyResourceError: another task's send on this socket has to wait. As when RIO refuses the post, and when
            False is returned, the request is still the caller's.
        """
        if not self.is_usable() or (self.window is None and not claim_send(self)):
            return False
        slice_: Slice = request.slice  # type: ignore[assignment]
        code = self.request_queue.post_send(slice_.buffer_id, slice_.offset, size, RIO_MSG_DEFER, request.context)
        if code == Status.ENOBUFS:
            return False
        if code:
            raise_refused(self.engine.provider, code)
        request.channel, request.is_receive, request.length = self, False, size
        if self.window is None:
            request.transition(Step.POST_AND_WAIT)
            request.task = GLOBAL_RUN_CONTEXT.task
        else:
            request.transition(Step.POST)
            self.window.bytes_in_flight += size
        self.sends.add(request)
        return True

    def take_sent(self, request: Request) -> int:
        """Return how many bytes a send took, and give its memory back."""
        self.pool.finish(request)
        return request.count

    # -- completions that no task waits for, and the end ---------------------------------------------------

    def keep(self, request: Request) -> None:
        """Handle the completion of a request that no task waits for."""
        if request.is_receive:
            assert self.ahead is not None
            self.ahead.keep(request)
        else:
            assert self.window is not None
            self.sends.discard(request)
            self.window.keep(request)

    def end_if_sent(self) -> None:
        """See :meth:`Owner.end_if_sent`: a socket that lingers is closed when nothing is in flight any more."""
        if self.is_lingering and not self.sends:
            self.end_linger()

    def _waiting_requests(self) -> list[Request]:
        requests = [] if self.reader is None else [self.reader]
        requests += self.cancelled_readers
        return [*requests, *self.sends, *(self.ahead.posted if self.ahead is not None else ())]

    def close(self) -> bool:
        """Wake the tasks that wait, and end the requests: the socket is being closed. Twice is allowed.

        Returns whether the socket itself may be closed now. False: sends are in flight, and the channel took the
        descriptor over and closes it when they have completed.
        """
        if self.is_closed:
            return True
        lingers = self._must_linger()
        self._be_closed()
        if self.engine.is_foreign:
            return True
        requests = self._waiting_requests()
        for request in requests if lingers and self.engine.provider.can_cancel else ():
            if request.is_receive:
                self.engine.cancel(self.request_queue, request.context)
        for task in self._end_requests(requests):
            trio.lowlevel.reschedule(task, closed_error())
        if lingers:
            self._linger()
            return False
        self.sends.clear()
        self.request_queue.provider.release_socket(self.request_queue)
        self.engine.manager.commit_from_outside()
        return True

    def _be_closed(self) -> None:
        if self.engine.channels.get(self.fd) is self:  # one that is finalised late may have a successor
            del self.engine.channels[self.fd]
        self.fd = NO_FD
        self.is_direct = False

    def _end_requests(self, requests: list[Request]) -> list[Any]:
        """Drop what was received ahead, and what these requests will bring. Returns the tasks that wait."""
        tasks = [request.task for request in requests if request.task is not None]
        for request in requests:
            request.task = None
            request.transition(Step.CLOSE)
        self.reader, self.cancelled_readers = None, ()
        tasks += [] if self.ahead is None else self.ahead.end()
        return tasks if self.window is None else [*tasks, *self.window.end()]

    def _must_linger(self) -> bool:
        return bool(self.window and self.sends) and not self.engine.is_closed and self.sock.fileno() == self.fd

    def _linger(self) -> None:
        self.sock = own = socket.socket(self.sock.family, self.sock.type, self.sock.proto, self.sock.detach())
        self.fileno = own.fileno
        self.request_queue.provider.rebind_socket(self.request_queue, own)
        self.is_lingering = True
        self.lingered = lingered = trio.Event()
        self.engine.lingering.add(self)
        # At the very end of a run no task can be started: then the engine's close keeps the time.
        with contextlib.suppress(RuntimeError):
            spawn_uncounted(self._end_linger_in_time, lingered, name="trio_rio linger")

    async def _end_linger_in_time(self, lingered: trio.Event) -> None:
        with trio.move_on_after(self.engine.config.linger_seconds):
            await lingered.wait()
        if self.is_lingering:
            self.engine.counters.drained_late += len(self.sends)
            self.end_linger()

    def end_linger(self) -> None:
        """Close a lingering socket for good: all is sent, or the time is over."""
        if self.is_lingering and self.lingered is not None:
            self.is_lingering = False
            self.lingered.set()
            self.engine.lingering.discard(self)
            self.request_queue.provider.close_socket(self.request_queue)

    def abandon(self, *, wakes: bool = False) -> bool:
        """End the requests and leave the socket alone: the run is over, or the descriptor has another owner.

        Closed is a socket with requests in flight that cannot be cancelled, and one that would go on with a hole: what
        was received and nobody read, or sends that did not go; of the former it says so. ``wakes``: others close the
        descriptor; tasks may wait, and are told, and sends go on without it.
        """
        if self.is_closed or self.engine.is_foreign:
            return False
        provider, window = self.request_queue.provider, self.window
        if wakes and window is not None and self._must_linger() and provider.can_cancel and self._leave_descriptor():
            self.close()
            return False
        ahead = None if wakes else self.ahead
        is_lost = ahead is not None and (ahead.take_back() or not provider.can_cancel) and ahead.has_unread()
        self._be_closed()
        requests = self._waiting_requests()
        is_left = not wakes and any(request.task is None for request in requests)
        is_closing = is_lost or is_left or (requests and not provider.can_cancel)
        tasks = self._end_requests(requests)
        (provider.close_socket if is_closing else provider.release_socket)(self.request_queue)
        for task in tasks if wakes else ():
            trio.lowlevel.reschedule(task, closed_error())
        return is_lost

    def _leave_descriptor(self) -> bool:
        """Go on by a duplicate of the descriptor, which others are about to close. False: there can be none."""
        try:
            own = self.sock.dup()
        except OSError:
            return False
        self.request_queue.provider.rebind_socket(self.request_queue, own)
        self.engine.channels.pop(self.fd, None)
        self.sock, self.fileno, self.fd = own, own.fileno, own.fileno()
        return True

    def close_in_its_thread(self) -> bool:
        """As :meth:`close`; in another thread than the run's, leave that to the run."""
        leftovers = self.engine.leftovers
        if leftovers.is_own_thread():
            return self.close()
        leftovers.leave(functools.partial(self.abandon, wakes=True))
        return True

    def let_go(self) -> None:
        """Close, after a Trio socket was dropped without a close, where requests would keep the stdlib socket open."""
        self.users -= 1
        if self.users or self.is_closed or self.engine.is_foreign:
            return
        ahead = self.ahead
        if self.sends or (ahead is not None and (ahead.posted or ahead.unread)):
            sock = self.sock
            try:
                if sock.fileno() == self.fd:
                    warnings.warn(f"unclosed {sock!r}", ResourceWarning, stacklevel=2, source=sock)
            finally:
                if self.close():
                    sock.close()
        elif ahead is not None or self.window is not None:
            self.abandon()
            self.ahead = self.window = None  # they refer to the channel, and would keep the socket open

    def __del__(self) -> None:
        # The socket was dropped without being closed. No request is in flight: each holds the channel.
        if hasattr(self, "sends") and not self.is_closed:  # else it never was whole
            self.engine.leftovers.do_or_leave(self.abandon)
