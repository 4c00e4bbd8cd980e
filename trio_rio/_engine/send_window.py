"""The send window: bytes in flight on one socket while nobody waits for them.

Facts. On Windows a send completes when the peer has acknowledged it. A task that waited for each completion
would send one slice per round trip; and a posted send cannot be taken back.

Decision. A task waits *before* it posts, until less than the window is in flight: cancelled there, nothing of
its data is sent. Once posted, the send is done for the caller. Its error reaches the next send, and a shutdown
of sending is put off until all is sent. Closing lets it complete first (:meth:`Channel.close`)."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .._errors import error_from_status
from ..rio import Status
from .conflicts import check_may_wait_to_send
from .traffic import Traffic

if TYPE_CHECKING:
    from .requests import Request


@attrs.define(eq=False)
class SendWindow:
    """One socket's sends in flight, when tasks do not wait for each."""

    traffic: Traffic
    size_bytes: int
    bytes_in_flight: int = 0
    error_status: int = 0  # of a send that nobody has been told about
    is_shut_down: bool = False  # for the caller; the socket itself follows when all is sent
    is_shutdown_put_off: bool = False
    _waiters: deque[Any] = attrs.field(factory=deque, init=False)  # tasks that wait for room

    def __attrs_post_init__(self) -> None:
        self.traffic.window_waiters = self._waiters

    async def wait_to_post(self) -> None:
        """Wait until a send may be posted. Not always a checkpoint, unless it raises.

        Raises:
          BusyResourceError: it would have to wait, and another task does so.
          OSError: of an earlier send on this socket.
          ClosedResourceError: the socket was closed meanwhile.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        counters, is_stalled = self.traffic.engine.counters, False
        while True:
            if self.is_shut_down or self.error_status:
                await trio.lowlevel.cancel_shielded_checkpoint()
                raise error_from_status(self._take_error())
            if not self.traffic.is_usable():
                raise trio.ClosedResourceError("this socket was already closed")
            if self._has_room():
                return
            counters.window_stalls += not is_stalled
            is_stalled = True
            await self._wait_for_change()

    def _take_error(self) -> int:
        # A stream stays broken, and the kernel says EPIPE from now on; a datagram socket goes on.
        status, self.error_status = self.error_status, Status.ESHUTDOWN if self.traffic.is_stream else 0
        return Status.ESHUTDOWN if self.is_shut_down else status

    def _has_room(self) -> bool:
        traffic = self.traffic
        if self.bytes_in_flight >= self.size_bytes:
            return False
        receives, sends = traffic.limits
        if len(traffic.sends) < sends:
            return True
        more = traffic.engine.grow_sends(traffic.request_queue, traffic.send_queue, traffic.limits)
        if more:
            traffic.limits = receives, more
        return bool(more)

    async def _wait_for_change(self) -> None:
        check_may_wait_to_send(self.traffic)
        task, waiters = trio.lowlevel.current_task(), self._waiters
        waiters.append(task)

        def abort(_: object) -> trio.lowlevel.Abort:
            waiters.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def wait_for_room(self) -> None:
        """Wait until a send would not have to, or would fail at once. A checkpoint; cancelling it changes nothing.

        Raises BusyResourceError as :meth:`wait_to_post`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while self.traffic.is_usable() and not (self.is_shut_down or self.error_status or self._has_room()):
            await self._wait_for_change()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def wait_until_sent(self) -> None:
        """Wait until nothing is in flight. A checkpoint if it has to wait; cancelling it changes nothing."""
        traffic = self.traffic
        if traffic.sends:
            await trio.lowlevel.checkpoint_if_cancelled()
        while traffic.sends and not traffic.is_closed:
            await self._wait_for_change()

    def keep(self, request: Request) -> None:
        """Handle the completion of a send: there is room again."""
        self.bytes_in_flight -= request.length
        if request.status:
            self.error_status = request.status
        request.finish()
        # All of them: the first may end with the error, and then nobody would wake the next.
        for task in self.end():
            trio.lowlevel.reschedule(task)
        if self.is_shutdown_put_off and not self.traffic.sends:
            self.is_shutdown_put_off = False
            # The connection may be gone: whoever sends or receives next is told.
            with contextlib.suppress(OSError):
                self.traffic.sock.shutdown(socket.SHUT_WR)

    def shutdown(self, how: int) -> None:
        """Shut the socket down, but sending only when all is sent. After that no send is taken."""
        sock = self.traffic.sock
        is_of_sending = how in (socket.SHUT_WR, socket.SHUT_RDWR)
        if not (is_of_sending and self.traffic.sends):
            sock.shutdown(how)
        else:
            if how == socket.SHUT_RDWR:
                sock.shutdown(socket.SHUT_RD)
            self.is_shutdown_put_off = True
        self.is_shut_down |= is_of_sending
        if is_of_sending:
            for task in self.end():
                trio.lowlevel.reschedule(task)

    def end(self) -> list[Any]:
        """Take out the tasks that wait for room, and return them."""
        tasks = list(self._waiters)
        self._waiters.clear()
        return tasks
