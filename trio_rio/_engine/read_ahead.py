"""Receiving ahead: receives that stay posted, and what they brought that nobody has read yet.

Facts. Where one request cannot be cancelled, a receive outlives the task that wanted it. What it brings belongs
to the socket, and must reach the next reader, in order, once. A posted receive waits until as much has come as
SO_RCVLOWAT says, where a call that is made now takes what there is.

Decision. Receives are posted for no task in particular. What completes is kept in order; a task reads from the
front, or waits until there is something. A task that is cancelled leaves nothing behind but a posted receive.
Where that option is set, a call that finds nothing lets the receive start anew. The number of slices that one socket
holds, posted and unread, is bounded by ``read_ahead``, so a reader that stops reading stops its peer. Where others are
to receive from the socket, another run among them, posted receives are taken back first: what they have brought by then
stays here, and is known."""

from __future__ import annotations

import socket
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import outcome
import trio

from .._errors import error_from_status
from ..rio import RIO_MSG_DEFER, Address, Status
from ..rio.checks import file_of
from .conflicts import check_no_receive_waits
from .copies import copy_to_all
from .requests import Request, Step
from .traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

CopyT = TypeVar("CopyT")

# Room for any datagram: a receive with less would cut it before anybody said how much of it is wanted.
DATAGRAM_BYTES_MAX = 65535

# How long receives may take to end that were told to. They take microseconds; this is for a machine that is swapping.
_TAKE_BACK_SECONDS = 1.0


@attrs.define(eq=False)
class ReadAhead:
    """One socket's receives, when they are not made on demand.

    Args:
      end_channel: ends the channel of a socket whose number has another file now.
      end_put_back: called when all is read that was put back (:meth:`Channel.put_back`): nothing is posted then.
        ``None``: receives are posted.
    """

    traffic: Traffic
    end_channel: Callable[[], object]
    end_put_back: Callable[[], None] | None = None
    posted: deque[Request] = attrs.field(factory=deque)  # in flight
    unread: deque[Request] = attrs.field(factory=deque)  # completed, in order
    offset: int = 0  # bytes of the first unread one that were read
    is_at_eof: bool = False
    is_taking_back: bool = False
    is_outdated: bool = False  # the socket's number has another file now, and the channel has ended
    _file: object = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._file = file_of(self.traffic.sock)

    @property
    def is_ahead(self) -> bool:
        """Whether the socket's next bytes are here, or will come here: nobody else may read them."""
        return bool(self.posted or self.unread or self.is_at_eof)

    def top_up(self, demand: int) -> bool:
        """Keep receives posted: ``demand`` of them, or as many as read_ahead says, as far as there is memory.

        Returns whether something is there, or will come. A refusal is an error only where a receive is demanded and
        none is posted; but never for want of memory, which may be there again next time.
        """
        traffic = self.traffic
        while (
            not self.is_at_eof
            and self.end_put_back is None
            and traffic.is_usable()
            and len(self.posted) + len(self.unread) < max(demand, traffic.engine.read_ahead_of(traffic.sock))
        ):
            if traffic.is_stream:
                request = traffic.pool.take(large=traffic.is_busy)
            else:
                request = traffic.pool.take(large=True, least_bytes=DATAGRAM_BYTES_MAX)
            if request is None:
                break
            code = self._post(request)
            if code:
                if demand and not self.posted and code != Status.ENOBUFS:
                    raise error_from_status(code)
                break
        return self.is_ahead

    def _post(self, request: Request) -> int:
        traffic, slice_ = self.traffic, request.slice
        assert slice_ is not None
        request.channel, request.is_receive, request.length = traffic, True, slice_.size_bytes
        request.transition(Step.POST)
        queue = traffic.request_queue
        try:
            if traffic.is_stream:
                code = queue.post_receive(
                    slice_.buffer_id, slice_.offset, slice_.size_bytes, RIO_MSG_DEFER, request.context
                )
            else:
                code = queue.post_receive_from(
                    slice_.buffer_id, slice_.offset, slice_.size_bytes, slice_.buffer_id, slice_.address_offset,
                    RIO_MSG_DEFER, request.context,
                )  # fmt: skip
        except BaseException:
            traffic.pool.finish(request)
            raise
        if code:
            traffic.pool.finish(request)
        else:
            self.posted.append(request)
        return code

    async def receive(self, size: int, take: Callable[[], Any] | None = None, *, tries: bool = True) -> Any:
        """Return what came first, at most ``size`` bytes of it; 0 waits until something is there and takes nothing.

        ``take`` takes it in another way than :meth:`read`, in the same moment. ``tries``: as a receive does; a wait for
        readability ends only when as much is there as SO_RCVLOWAT says. ``None``: nothing is posted, and nothing can
        be, since memory is used up, the run is ending, a task waits for readability, or the socket's number has another
        file. Then the next bytes may be received without us.

        A checkpoint; cancelling it takes nothing. Raises BusyResourceError, and the OSError of the receive.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        traffic = self.traffic
        is_waited_for = traffic.read_key in traffic.waits
        if is_waited_for and tries and not self.is_ahead:
            return None
        if is_waited_for:
            raise trio.BusyResourceError("another task is already reading from this socket")
        check_no_receive_waits(traffic)
        if self.is_ahead and file_of(traffic.sock) != self._file:
            # What is here, or will come, is of the earlier file. The channel ends, and the socket is attached anew.
            self.is_outdated = True
            self.end_channel()
            return None
        if tries and self.posted and not (self.unread or self.is_at_eof) and self._waits_for_more():
            self.take_back()  # the first try of the next one takes what there is
        if not (self.unread or self.is_at_eof):
            return await self._wait(take or partial(self.read, size)) if self.top_up(1) else None
        try:
            return self.read(size) if take is None else take()
        finally:
            await trio.lowlevel.cancel_shielded_checkpoint()

    def _waits_for_more(self) -> bool:
        """Whether what is posted may wait although there is something."""
        traffic = self.traffic
        has_mark = traffic.is_stream and traffic.engine.provider.can_cancel  # Windows has none
        return has_mark and traffic.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) > 1

    async def _wait(self, take: Callable[[], Any]) -> Any:
        self.traffic.ahead_waiter = (trio.lowlevel.current_task(), take)

        def abort(_: object) -> trio.lowlevel.Abort:
            self.traffic.ahead_waiter = None
            return trio.lowlevel.Abort.SUCCEEDED

        return await trio.lowlevel.wait_task_rescheduled(abort)

    async def receive_whole(self) -> tuple[Request | None, int] | None:
        """As :meth:`receive`, for a stream: the request that has what came first, and where its unread part begins.

        The slice is the caller's, who finishes the request. ``(None, 0)``: the end of the stream.
        """
        whole: tuple[Request | None, int] | None = await self.receive(0, self.take_whole)
        return whole

    def take_whole(self) -> tuple[Request | None, int]:
        """See :meth:`receive_whole`. Never waits."""
        if not self.unread:
            return None, 0
        request, start = self.unread.popleft(), self.offset
        self.offset = 0
        if request.status:
            request.finish()
            raise error_from_status(request.status)
        self._go_on()
        return request, start

    def read_message(self, size: int, *, peek: bool) -> tuple[bytes, Address | None, bool]:
        """As :meth:`read`, and whether a datagram was longer. No bytes of one take it, or its address, all the same."""
        return self._read_message(size, memoryview.tobytes, peek=peek)

    def read_into(self, views: Callable[[], Any], *, peek: bool) -> tuple[int, Address | None, bool]:
        """As :meth:`read_message`, into memory of the caller's: ``views`` gives a context with flat views of it."""
        with views() as targets:
            return self._read_message(sum(map(len, targets)), partial(copy_to_all, targets), peek=peek)

    def _read_message(
        self, size: int, copy: Callable[[memoryview], CopyT], *, peek: bool
    ) -> tuple[CopyT, Address | None, bool]:
        is_stream = self.traffic.is_stream
        is_longer = not is_stream and bool(self.unread) and self.unread[0].count > size
        copied, address = self._read(size, copy, peek=peek or (is_stream and not size))
        return copied, address, is_longer

    def read(self, size: int, *, peek: bool = False) -> tuple[bytes, Address | None]:
        """Take from the front of what came; the end of a stream again and again. Never waits."""
        return self._read(size, memoryview.tobytes, peek=peek) if size else (b"", None)

    def _read(self, size: int, copy: Callable[[memoryview], CopyT], *, peek: bool) -> tuple[CopyT, Address | None]:
        """Take from the front by ``copy``. What cannot be copied stays."""
        if not self.unread:
            return copy(memoryview(b"")), None
        request = self.unread[0]
        traffic = self.traffic
        # Where a datagram is not cut, the system does not even say who sent one that was too long.
        is_cut = request.status == Status.EMSGSIZE and traffic.engine.provider.truncates_silently
        if request.status and not is_cut:
            self.unread.popleft().finish()
            if self.end_put_back is not None or not traffic.is_stream:
                self._go_on()  # else only when asked for: it might fail at once, and its error be out of date then
            raise error_from_status(request.status)
        end = min(request.count, self.offset + size)
        data = copy(request.view[self.offset : end])
        address = None if traffic.is_stream else traffic.address_of(request)
        if end < request.count and not (traffic.is_stream or traffic.engine.provider.truncates_silently):
            if not peek:
                self._drop()
            raise error_from_status(Status.EMSGSIZE)
        if peek:
            return data, address
        if end == request.count or not traffic.is_stream:
            self._drop()
        else:
            self.offset = end
        return data, address

    def take_back(self) -> bool:
        """End what is posted, and keep what it brought. False: it cannot be ended, or not in time. Not a checkpoint."""
        engine = self.traffic.engine
        if not self.posted or not engine.provider.can_cancel:
            return not self.posted
        self.is_taking_back = True
        for request in self.posted:
            engine.cancel(self.traffic.request_queue, request.context)
        deadline = time.monotonic() + _TAKE_BACK_SECONDS
        while self.posted and time.monotonic() < deadline:
            engine.look()
        self.is_taking_back = bool(self.posted)
        return not self.posted

    def has_unread(self) -> bool:
        """Whether another reader would miss something: any part of a stream but its end, or a datagram."""
        return any(self.traffic.is_stream or request.status in (0, Status.EMSGSIZE) for request in self.unread)

    def _drop(self) -> None:
        self.offset = 0
        self.unread.popleft().finish()
        self._go_on()

    def _go_on(self) -> None:
        if self.end_put_back is None:
            self.top_up(0)
        elif not self.unread:
            self.end_put_back()

    def keep(self, request: Request) -> None:
        """Keep what a completed receive brought, and give it to the task that waits."""
        self.posted.remove(request)
        if self.is_taking_back and request.status == Status.OPERATION_ABORTED:
            request.finish()
            return
        if request.status == 0 and request.count == 0 and self.traffic.is_stream:
            self.is_at_eof = True
            request.finish()
        else:
            self.traffic.is_busy = request.count == request.length
            self.unread.append(request)
        if self.traffic.ahead_waiter is not None:
            task, take = self.traffic.ahead_waiter
            self.traffic.ahead_waiter = None
            trio.lowlevel.reschedule(task, outcome.capture(take))

    def end(self) -> list[Any]:
        """Drop what nobody read, since the socket is being closed. Returns the tasks that wait."""
        self.posted.clear()
        while self.unread:
            self.unread.popleft().finish()
        waiter, self.traffic.ahead_waiter = self.traffic.ahead_waiter, None
        return [] if waiter is None else [waiter[0]]
