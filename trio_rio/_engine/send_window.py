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
from . import conflicts as _conflicts

if TYPE_CHECKING:
    from .channel import Channel
    from .requests import Request


@attrs.define(eq=False)
class SendWindow:
    """One socket's sends in flight, when tasks do not wait for each."""

    channel: Channel
    size_bytes: int
    bytes_in_flight: int = 0
    waiters: deque[Any] = attrs.field(factory=deque)
    error_status: int = 0  # of a send that nobody has been told about
    is_shut_down: bool = False  # for the caller; the socket itself follows when all is sent
    is_shutdown_put_off: bool = False

    async def send(self, data: bytes | bytearray | memoryview, address: bytes | None) -> int | None:
        """Wait for room, post, and return how many bytes were taken; ``None`` when there is no memory for them.

        A checkpoint. Cancelled while waiting, nothing of ``data`` is sent.

        Raises:
          BusyResourceError: it would have to wait, and another task does so.
          OSError: of an earlier send on this socket.
          ClosedResourceError: the socket was closed meanwhile.
        """
        await self.wait_to_post()
        request = self.channel.post_send(data, address, wait=False)
        if request is None:
            return None
        count = request.length
        self.bytes_in_flight += count
        await trio.lowlevel.cancel_shielded_checkpoint()
        return count

    async def wait_to_post(self) -> None:
        """Wait until a send may be posted. Not always a checkpoint; raises as :meth:`send`, and then it was one."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            if self.is_shut_down or self.error_status:
                await trio.lowlevel.cancel_shielded_checkpoint()
                raise error_from_status(self._take_error())
            if not self.channel.is_usable():
                raise trio.ClosedResourceError("this socket was already closed")
            if self._has_room():
                return
            await self._wait_for_change()

    def _take_error(self) -> int:
        # A stream stays broken, and the kernel says EPIPE from now on; a datagram socket goes on.
        status, self.error_status = self.error_status, Status.ESHUTDOWN if self.channel.is_stream else 0
        return Status.ESHUTDOWN if self.is_shut_down else status

    def _has_room(self) -> bool:
        channel = self.channel
        if self.bytes_in_flight >= self.size_bytes:
            return False
        return len(channel.sends) < channel.limits[1] or channel.engine.grow_sends(channel)

    async def _wait_for_change(self) -> None:
        _conflicts.check_may_wait_to_send(self.channel)
        task = trio.lowlevel.current_task()
        self.waiters.append(task)

        def abort(_: object) -> trio.lowlevel.Abort:
            self.waiters.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def wait_for_room(self) -> None:
        """Wait until a send would not have to, or would fail at once. A checkpoint; cancelling it changes nothing.

        Raises BusyResourceError as :meth:`send`.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while self.channel.is_usable() and not (self.is_shut_down or self.error_status or self._has_room()):
            await self._wait_for_change()
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def wait_until_sent(self) -> None:
        """Wait until nothing is in flight. A checkpoint if it has to wait; cancelling it changes nothing."""
        if self.channel.sends:
            await trio.lowlevel.checkpoint_if_cancelled()
        while self.channel.sends and not self.channel.is_closed:
            await self._wait_for_change()

    def keep(self, request: Request) -> None:
        """A send has completed: there is room again."""
        self.bytes_in_flight -= request.length
        if request.status:
            self.error_status = request.status
        request.finish()
        # All of them: the first may end with the error, and then nobody would wake the next.
        for task in self.end():
            trio.lowlevel.reschedule(task)
        if self.is_shutdown_put_off and not self.channel.sends:
            self.is_shutdown_put_off = False
            # The connection may be gone: whoever sends or receives next is told.
            with contextlib.suppress(OSError):
                self.channel.sock.shutdown(socket.SHUT_WR)

    def shutdown(self, how: int) -> None:
        """Shut the socket down; but sending only when all is sent. No send is taken any more."""
        sock = self.channel.sock
        is_of_sending = how in (socket.SHUT_WR, socket.SHUT_RDWR)
        if not (is_of_sending and self.channel.sends):
            sock.shutdown(how)
        else:
            if how == socket.SHUT_RDWR:
                sock.shutdown(socket.SHUT_RD)
            self.is_shutdown_put_off = True
        self.is_shut_down |= is_of_sending
        if is_of_sending:
            for task in self.end():
                trio.lowlevel.reschedule(task)

    def leave_descriptor(self) -> bool:
        """Others close the socket's descriptor: what is in flight goes on by a duplicate. False: there can be none."""
        channel = self.channel
        try:
            own = channel.sock.dup()
        except OSError:
            return False
        channel.request_queue.provider.rebind_socket(channel.request_queue, own)
        channel.engine.channels.pop(channel.fd, None)
        channel.sock, channel.fileno, channel.fd = own, own.fileno, own.fileno()
        return True

    def end(self) -> list[Any]:
        """Nobody waits any more. Returns the tasks that did."""
        tasks = list(self.waiters)
        self.waiters.clear()
        return tasks
