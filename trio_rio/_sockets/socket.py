"""The socket class that Trio's own functions make while trio_rio is in place.

Facts. Trio makes every socket from one class: ``socket()``, ``from_stdlib_socket``, ``fromfd``, ``socketpair``,
``accept`` and ``dup`` end there. Programs and tests lean on more than the documented interface: ``_sock`` is
read, replaced and closed behind our back. RIO has neither peeking nor ancillary data, and serves neither UNIX
nor raw sockets.

Consequence. The class must adopt the very stdlib socket that it is given, must do without RIO at any moment,
and must not mind being used outside of a run.

Decision. A subclass of Trio's (:mod:`.base`) that overrides what RIO serves and inherits the rest. A socket gets its
channel at the first receive or send inside a run that has an engine; each call decides anew whether the channel can
serve it."""

from __future__ import annotations

import contextlib
import socket
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import trio
from trio.lowlevel import checkpoint, enable_ki_protection, wait_readable, wait_writable

from .. import _trio
from .._engine.copies import is_ordinary
from .._engine.current import current_engine
from .._engine.fields import SocketFields
from .._engine.in_c import begin_in_c
from .._engine.taking import receive_bulk, receive_on_demand, send_one_by_one, take_datagram, take_into
from .._trio import async_yield, enter_cancel_point
from ..rio.checks import raw_type
from .accept import accept_now
from .arguments import flat_data, room_in, size_of, views_of
from .base import SocketOfRun
from .destinations import Destinations
from .own_way import CALLS_WITHOUT_CHANNEL, accept_when_ready, own_way, recv_when_ready
from .receive_flags import ELSEWHERE, as_of_recvmsg, receive_ahead, receive_elsewhere, refuse_ancillary_data
from .sole import is_sole, refuse_to_share

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Buffer

    from .._engine.channel import Channel
    from .._engine.read_ahead import ReadAhead
    from .._engine.requests import Request

__all__ = ["RioSocket", "SocketOfRun"]


class RioSocket(SocketFields, SocketOfRun):
    """A Trio socket whose receives and sends are RIO requests wherever they can be."""

    _channel: Channel | None
    _calls_left: int  # that go Trio's own way before there is a channel
    _begins_in_c: bool  # the engine in C serves the run that made it
    _destinations: Destinations | None = None
    _is_shared: bool = False  # with another socket, by dup()
    _first_calls = CALLS_WITHOUT_CHANNEL

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        engine = current_engine()
        if engine is not None and engine.attaches_late and raw_type(sock) == socket.SOCK_STREAM:
            self._calls_left, self._begins_in_c = self._first_calls, engine.turn is not None

    # -- the channel -----------------------------------------------------------------------------------------

    def _attach(self) -> Channel | None:
        """Find the socket's channel in this run, or make it; ``None`` where RIO cannot serve."""
        engine = current_engine()
        if engine is None or type(self._sock) is not socket.socket or self._sock.fileno() == -1:
            return None
        channel = self._channel
        if channel is not None:
            engine.check_process()
            is_outdated = channel.ahead is not None and channel.ahead.is_outdated
            if channel.engine is engine and channel.sock is self._sock and not is_outdated:
                return None if channel.is_closed or self._sock.fileno() != channel.fd else channel
            channel = self._channel = None  # one of an earlier run would count as another holder
        engine.check_process()
        if self._calls_left:
            return None
        if engine.provider.holds_files and not is_sole(self):
            return None
        channel = self._channel = engine.attach(self._sock)
        if channel is not None:
            channel.users += 1
            if self._is_shared:
                self._receive_on_demand(channel)
        return channel

    def _usable_channel(self, *, at_once: bool = False) -> Channel | None:
        """The channel, if RIO serves now; ``at_once``: also if the socket has had too few calls for one."""
        channel = self._channel
        if at_once:
            self._calls_left = 0
        if channel is None or not channel.is_usable():
            channel = self._attach()
            if channel is not None and not channel.is_usable():
                return None
        return channel

    def _take_own_way(self) -> bool:
        """Let a call go Trio's own way, since there were few, or there can be no channel. False: there is a channel."""
        if self._calls_left:
            self._calls_left -= 1
            return True
        return self._attach() is None

    @enable_ki_protection
    async def accept(self) -> tuple[Any, Any]:
        """See :meth:`socket.socket.accept`. A checkpoint; cancelling it loses no connection."""
        return await own_way(wait_readable, self._sock, self._accept_now)

    _accept_now = enable_ki_protection(accept_now)

    @enable_ki_protection
    async def connect(self, address: Any) -> None:
        """See :meth:`socket.socket.connect`. A checkpoint. Cancelled, it closes the socket, as on stock Trio."""
        try:
            await super().connect(address)
        except trio.Cancelled:
            self._end_channel()  # Trio has closed the stdlib socket, and told nobody
            raise

    # -- receiving -------------------------------------------------------------------------------------------

    @enable_ki_protection
    async def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """See :meth:`socket.socket.recv`. A checkpoint; cancelling it takes nothing."""
        channel = self._channel
        if channel is not None and channel.is_direct and not flags and type(bufsize) is int and bufsize > 0:
            if channel.is_bulk and (data := await receive_bulk(channel, bufsize)) is not None:
                return data
            request = channel.post_receive(bufsize)
            if request is not None:
                woken = await async_yield(request.message)
                if woken is not request or request.status:
                    woken.unwrap()
                return channel.take_bytes(request)
        if channel is None and not flags and self._take_own_way():
            return await own_way(wait_readable, self._sock, socket.socket.recv, bufsize)
        return await self._recv_otherwise(bufsize, flags)

    async def _recv_otherwise(self, bufsize: int, flags: int) -> bytes:
        if flags & ELSEWHERE:
            return await receive_elsewhere(self._sock, socket.socket.recv, bufsize, flags)
        request = await self._receive_first(bufsize, flags, with_address=False)
        if isinstance(request, tuple):
            return request[0]
        if request is not None:
            return cast("Channel", request.channel).take_bytes(request)
        return await SocketOfRun.recv(self, bufsize, flags)

    @enable_ki_protection
    async def recv_into(self, /, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> int:
        """See :meth:`socket.socket.recv_into`. A checkpoint; cancelling it takes nothing."""
        if flags & ELSEWHERE:
            return await receive_elsewhere(self._sock, socket.socket.recv_into, buffer, nbytes, flags)
        received = await self._receive_into(buffer, nbytes, flags, with_address=False)
        if received is not None:
            return received[0]
        return await super().recv_into(buffer, nbytes, flags)

    @enable_ki_protection
    async def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """See :meth:`socket.socket.recvfrom`. A checkpoint; cancelling it takes nothing."""
        channel = self._channel
        if channel is not None and channel.is_free_for_datagrams() and not flags and type(bufsize) is int:
            # For a datagram that is there already, a request costs more than this call.
            if enter_cancel_point():
                await checkpoint()
            try:
                return self._sock.recvfrom(bufsize)
            except (BlockingIOError, InterruptedError):
                channel = None
            finally:
                if channel is not None:
                    await async_yield(_trio.SHIELDED_CHECKPOINT)
        return await self._recvfrom_otherwise(bufsize, flags)

    async def _recvfrom_otherwise(self, bufsize: int, flags: int) -> tuple[bytes, Any]:
        if flags & ELSEWHERE:
            return await receive_elsewhere(self._sock, socket.socket.recvfrom, bufsize, flags)
        request = await self._receive_first(bufsize, flags, with_address=True)
        if isinstance(request, tuple):
            return request
        if request is not None:
            return take_datagram(request.channel, request)  # type: ignore[arg-type]
        return await SocketOfRun.recvfrom(self, bufsize, flags)

    @enable_ki_protection
    async def recvfrom_into(self, /, buffer: Buffer, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """See :meth:`socket.socket.recvfrom_into`. A checkpoint; cancelling it takes nothing."""
        if flags & ELSEWHERE:
            return await receive_elsewhere(self._sock, socket.socket.recvfrom_into, buffer, nbytes, flags)
        received = await self._receive_into(buffer, nbytes, flags, with_address=True)
        if received is not None:
            return received
        return await super().recvfrom_into(buffer, nbytes, flags)

    async def _receive_into(
        self, buffer: Any, nbytes: int, flags: int, *, with_address: bool
    ) -> tuple[int, Any] | None:
        """Receive into the caller's memory, which is not held while the task waits; ``None`` as below."""
        size = room_in(buffer, nbytes)
        channel = self._usable_channel()
        if channel is None or size < 0:
            return None
        views = partial(views_of, (buffer,), nbytes)
        if channel.ahead is not None:
            may_take = size or with_address
            read = partial(channel.ahead.read_into, views)
            message = await receive_ahead(channel.ahead, flags, read) if may_take else None
            return None if message is None else message[:2]
        request = await self._receive_first(size, flags, with_address=with_address) if is_ordinary(buffer) else None
        if request is None or isinstance(request, tuple):
            return None  # no tuple: it is on demand
        return take_into(channel, request, views)

    async def _receive_first(self, size: int, flags: int, *, with_address: bool) -> Request | tuple[bytes, Any] | None:
        """Receive once: a completed request, or what was received ahead; ``None``: go Trio's own way.

        Without an address, a receive of no bytes is left to Python, which does not even ask the system.
        """
        channel = self._usable_channel()
        size = size_of(size)
        if channel is None or size < 0 or (size == 0 and not (with_address and channel.ahead is not None)):
            return None
        if channel.ahead is not None:
            if size and not flags:
                return await channel.ahead.receive(size)  # type: ignore[no-any-return]
            message = await receive_ahead(channel.ahead, flags, partial(channel.ahead.read_message, size))
            return None if message is None else message[:2]
        if flags:
            return None
        return await receive_on_demand(channel, size)

    @enable_ki_protection
    async def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Any]:
        """See :meth:`socket.socket.recvmsg`. What was received ahead comes first, without ancillary data."""
        if flags & ELSEWHERE:
            return await receive_elsewhere(self._sock, socket.socket.recvmsg, bufsize, ancbufsize, flags)
        size = size_of(bufsize)
        ahead = self._ahead_of_recvmsg(ancbufsize) if size >= 0 else None
        if ahead is not None:
            message = await receive_ahead(ahead, flags, partial(ahead.read_message, size))
            if message is not None:
                return as_of_recvmsg(*message)
        return await super().recvmsg(bufsize, ancbufsize, flags)

    @enable_ki_protection
    async def recvmsg_into(
        self, buffers: Iterable[Buffer], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        """See :meth:`socket.socket.recvmsg_into`. What was received ahead comes first, as for :meth:`recvmsg`."""
        if flags & ELSEWHERE:
            return await receive_elsewhere(self._sock, socket.socket.recvmsg_into, buffers, ancbufsize, flags)
        buffers = [*buffers]
        ahead = self._ahead_of_recvmsg(ancbufsize)
        if ahead is not None:
            message = await receive_ahead(ahead, flags, partial(ahead.read_into, partial(views_of, buffers)))
            if message is not None:
                return as_of_recvmsg(*message)
        return await super().recvmsg_into(buffers, ancbufsize, flags)

    def _ahead_of_recvmsg(self, ancillary_size: int) -> ReadAhead | None:
        """The ReadAhead that recvmsg must not overtake. OSError: it does not keep the ancillary data asked for."""
        channel = self._usable_channel()
        ahead = None if channel is None else channel.ahead
        if ahead is None or not ahead.is_ahead:
            return None
        refuse_ancillary_data(ahead, ancillary_size)
        return ahead

    @enable_ki_protection
    def is_readable(self) -> bool:
        """Whether a receive would return at once; counts what was received ahead."""
        ahead = None if self._channel is None or self._channel.is_closed else self._channel.ahead
        if ahead is not None and ahead.is_ahead:
            if not (ahead.unread or ahead.is_at_eof):
                ahead.traffic.engine.collectors.poll()  # what has come may not have been looked at
            if ahead.unread or ahead.is_at_eof:
                return True
        return super().is_readable()

    # -- sending ---------------------------------------------------------------------------------------------

    @enable_ki_protection
    async def send(self, data: Buffer, flags: int = 0, /) -> int:
        """See :meth:`socket.socket.send`. A checkpoint. Cancelled, it has sent nothing; else what it returns."""
        channel = self._channel
        flat: Any = data
        if channel is not None and channel.is_direct and not flags:
            kind = type(flat)
            is_flat = kind is memoryview and flat.format == "B" and flat.ndim == 1 and flat.contiguous
            if (kind is bytes or is_flat) and flat:
                if sent := channel.send_now(flat) if kind is bytes or is_ordinary(flat) else 0:
                    await async_yield(_trio.SHIELDED_CHECKPOINT)
                    return sent
                request = channel.post_send(flat, None, wait=True, flags=channel.part_flags)
                if request is not None:
                    woken = await async_yield(request.message)
                    if woken is not request or request.status:
                        woken.unwrap()
                    return channel.take_sent(request)
        if channel is None and not flags and self._take_own_way():
            return await own_way(wait_writable, self._sock, socket.socket.send, data)
        return await self._send_otherwise(data, flags)

    async def _send_otherwise(self, data: Buffer, flags: int) -> int:
        channel = self._usable_channel()
        flat = flat_data(data)
        is_nothing = flat is not None and not flat and channel is not None and channel.is_stream
        if channel is not None and not flags and flat is not None and not is_nothing:
            sent = await self._send_on(channel, flat, None)
            if sent is not None:
                return sent
        if self._channel is not None and not is_nothing:  # an empty send overtakes nothing
            await self._let_window_pass()
        return await SocketOfRun.send(self, data, flags)

    async def _let_window_pass(self) -> None:
        """Wait for sends in flight, which Trio's own way of sending must not overtake."""
        channel = self._channel
        if channel is None or not channel.sends:
            return
        if channel.window is not None:
            await channel.window.wait_until_sent()
        elif channel.is_usable():
            channel.engine.provider.try_sends(channel.request_queue)

    @staticmethod
    async def _send_on(channel: Channel, data: bytes | bytearray | memoryview, address: bytes | None) -> int | None:
        """Send once; ``None``: go Trio's own way."""
        if channel.window is not None:
            return await channel.send_in_window(channel.window, data, address)
        return await send_one_by_one(channel, data, address)

    @enable_ki_protection
    async def sendto(self, *args: Any) -> int:
        """See :meth:`socket.socket.sendto`. A checkpoint. Cancelled, it has sent nothing."""
        if len(args) == 2:
            data, address = args
            channel = self._channel
            if type(data) is bytes and channel is not None and channel.is_free_for_datagrams() and not channel.sends:
                known = self._destinations
                is_known = known is not None and known.is_as_given(address)
                if is_known:  # then try at once, as recvfrom() does
                    if enter_cancel_point():
                        await checkpoint()
                    try:
                        return self._sock.sendto(data, address)
                    except (BlockingIOError, InterruptedError):
                        is_known = False
                    finally:
                        if is_known:
                            await async_yield(_trio.SHIELDED_CHECKPOINT)
            channel = self._usable_channel()
            flat = flat_data(data)
            if channel is not None and not channel.is_stream and flat is not None:
                known = self._destinations = self._destinations or Destinations()
                packed = known.known(address) or await known.resolve(self, address)
                if packed is not None and channel.is_usable():
                    sent = await self._send_on(channel, flat, packed)
                    if sent is not None:
                        return sent
        await self._let_window_pass()
        return await SocketOfRun.sendto(self, *args)

    @enable_ki_protection
    async def sendmsg(self, *args: Any) -> int:
        """See :meth:`socket.socket.sendmsg`. Trio's own way, after what is in flight."""
        buffers = args[0] if args else None
        is_nothing = isinstance(buffers, (list, tuple)) and not any(map(len, buffers))
        if not (is_nothing and self._channel is not None and self._channel.is_stream):  # as in send()
            await self._let_window_pass()
        return await super().sendmsg(*args)

    @enable_ki_protection
    async def wait_writable(self) -> None:
        """Wait until a send would not block; with a window, until there is room in it."""
        channel = self._usable_channel()
        if channel is None or channel.window is None:
            await super().wait_writable()
        else:
            await channel.window.wait_for_room()

    # -- the end ---------------------------------------------------------------------------------------------

    @enable_ki_protection
    def shutdown(self, flag: int) -> None:
        """See :meth:`socket.socket.shutdown`. What is in flight is sent first."""
        channel = self._channel
        if channel is None or channel.window is None or channel.is_closed:
            super().shutdown(flag)
            return
        channel.window.shutdown(flag)
        if flag in (socket.SHUT_WR, socket.SHUT_RDWR):
            self._did_shutdown_SHUT_WR = True

    @enable_ki_protection
    def close(self) -> None:
        """Close at once; tasks that wait get ClosedResourceError. Sends in flight (of a window) go out first."""
        may_have_requests = self._channel is not None or not self._is_stream()
        if may_have_requests and _trio.current_runner() is not None:  # or Trio's own refuses to close an open one
            self._end_channel()
        super().close()

    def _end_channel(self) -> None:
        engine = current_engine()
        owner = engine.packet_handlers.owner_of(self._sock) if engine is not None else None
        if owner is not None:
            owner.close()
        number = self._sock.fileno()
        channel, self._channel = self._channel, None
        if channel is not None:
            if channel.close_in_its_thread() or number == -1:
                return
            # The channel has taken the descriptor: super().close() does not know which number it had.
            with contextlib.suppress(RuntimeError, OSError):
                trio.lowlevel.notify_closing(number)

    def __del__(self) -> None:
        # A request that stays posted would keep the socket, and itself, for the rest of the run.
        channel = self._channel
        if channel is not None and not channel.is_closed:
            channel.engine.leftovers.do_or_leave(channel.let_go)

    @enable_ki_protection
    def detach(self) -> int:
        """See :meth:`socket.socket.detach`. Tasks that wait on the socket get ClosedResourceError.

        Raises:
          OSError: bytes were received ahead, or are being sent, or a receive is posted that cannot be taken back, or
            the socket is that of a DatagramChannel.
        """
        refuse_to_share(self._sock, self._channel, "detach()", ends=True)
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close_in_its_thread()
        return super().detach()

    @enable_ki_protection
    def dup(self) -> Any:
        """See :meth:`socket.socket.dup`. Neither socket receives ahead from now on, where that can be helped.

        On Windows the new socket goes Trio's own way. Raises as :meth:`detach`, and while a task receives from what
        comes ahead.
        """
        refuse_to_share(self._sock, self._channel, "dup()")
        made = super().dup()
        for sock in (self, made):
            if isinstance(sock, RioSocket):
                sock._is_shared = True
        if self._channel is not None:
            self._receive_on_demand(self._channel)
        return made

    @staticmethod
    def _receive_on_demand(channel: Channel) -> None:
        """Stop receiving ahead, which readers of another handle would miss; nothing is posted or unread."""
        if channel.engine.provider.can_cancel:
            channel.ahead = None

    @enable_ki_protection
    def share(self, process_id: int) -> bytes:
        """See :meth:`socket.socket.share`. The other process does without RIO; raises as :meth:`detach`."""
        refuse_to_share(self._sock, self._channel, "share()")
        return super().share(process_id)  # type: ignore[no-any-return,misc,unused-ignore]

    @enable_ki_protection
    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end_channel()
        super().__exit__(exc_type, exc_value, traceback)


async def _recvfrom_when_ready(trio_socket: RioSocket, _: socket.socket, bufsize: int) -> tuple[bytes, Any]:
    return await trio_socket._recvfrom_otherwise(bufsize, 0)


SocketOfRun.served = RioSocket

begin_in_c(
    RioSocket, recv=recv_when_ready, send=None, accept=accept_when_ready, recvfrom=_recvfrom_when_ready, sendto=None
)

# A method that this platform's sockets lack must not seem to exist.
for _name in ("recvmsg", "recvmsg_into", "sendmsg", "share"):
    if not hasattr(_trio.StockSocketType, _name):
        delattr(RioSocket, _name)
