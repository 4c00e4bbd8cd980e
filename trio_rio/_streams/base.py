"""What a stream and its leases share: the socket, its channel, and the mark of the one task that sends."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import trio
from trio.abc import HalfCloseableStream
from trio.lowlevel import enable_ki_protection

from .._engine.fields import StreamFields
from .._sockets.socket import RioSocket

if TYPE_CHECKING:
    from .._engine.channel import Channel

# EBADF, and ENOTSOCK on Windows: the socket was closed.
_CLOSED_ERRNOS = frozenset((errno.EBADF, errno.ENOTSOCK))


def raise_translated(error: OSError) -> NoReturn:
    """Raise what Trio's streams raise for an error of their socket. Call it in the ``except`` block of that error."""
    if error.errno in _CLOSED_ERRNOS:
        raise trio.ClosedResourceError("this socket was already closed") from None
    raise trio.BrokenResourceError(f"socket connection broken: {error}") from error


class StreamOnSocket(StreamFields, HalfCloseableStream):
    """The part of a stream that its leases use too."""

    __slots__ = ("__weakref__",)

    #: The Trio socket that this stream wraps.
    socket: trio.socket.SocketType
    _sock: Any
    _channel: Channel | None  # set only where it is direct
    _is_sending: bool

    def _begin(self, socket: trio.socket.SocketType) -> None:
        self.socket = socket
        self._sock = socket
        self._channel = None
        self._is_sending = False

    def _usable_channel(self, *, at_once: bool = False) -> Channel | None:
        """As :meth:`RioSocket._usable_channel`."""
        return self._sock._usable_channel(at_once=at_once) if isinstance(self._sock, RioSocket) else None

    def _find_channel(self) -> Channel | None:
        """The socket's channel if RIO serves it now; remembered in ``_channel`` if it is direct."""
        channel = self._usable_channel()
        self._channel = channel if channel is not None and channel.is_direct else None
        return channel

    async def _send_rest(self, view: memoryview, sent: int) -> None:
        """Send ``view`` from byte ``sent`` on: in the channel's window if it has one, else by the socket."""
        channel = self._find_channel()
        while sent < len(view):
            with view[sent:] as rest:
                count = None
                if channel is not None and channel.window is not None:
                    count = await channel.send_in_window(channel.window, rest, None)
                sent += await self.socket.send(rest) if count is None else count

    @enable_ki_protection
    async def _send_rest_of(self, data: bytes, sent: int) -> None:
        """As :meth:`_send_rest`, for a call that has begun in C, and ends here."""
        try:
            await self._send_rest(memoryview(data), sent)
        except OSError as error:
            raise_translated(error)
        finally:
            self._is_sending = False

    def _check_not_ended(self) -> None:
        if self.socket.did_shutdown_SHUT_WR:
            raise trio.ClosedResourceError("can't send data after sending EOF")

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        """Be the one task that sends until the end of the block; errors of the socket are translated."""
        self._check_not_sending()
        self._is_sending = True
        try:
            yield
        except OSError as error:
            raise_translated(error)
        finally:
            self._is_sending = False

    def _check_not_sending(self) -> None:
        if self._is_sending:
            raise trio.BusyResourceError("another task is currently sending data on this RioStream")

    def _check_open(self) -> None:
        if self.socket.fileno() == -1:
            raise trio.ClosedResourceError("this socket was already closed")
