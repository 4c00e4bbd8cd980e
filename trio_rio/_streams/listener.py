"""RioListener: a listening socket whose connections are RioStreams.

Facts. Some errors of accept(2) concern one connection that is gone already, others the listener. Trio has learnt over
years which is which. On most systems an accepted socket inherits the options of the listening one; none documents that
of all options.

Decision. Where accepting fails, a ``trio.SocketListener`` is shown the error, and says what it means. What waits
already may be taken by a plain call, many in a row (:mod:`.serve`); where that fails, the next ordinary accept says
how. Whether options are inherited is looked at once."""

from __future__ import annotations

from typing import Any, cast, final

import trio
from trio.abc import Listener

from .._sockets.accept import accept_now
from .._trio import StockSocketType, stdlib_socket_of
from .stream import RioStream, rio_stream_from, rio_stream_on, set_stream_options


class _Failed:
    """A listening socket that fails to accept, with an error that has happened; then it is the socket itself."""

    def __init__(self, socket: trio.socket.SocketType, error: OSError) -> None:
        self._socket = socket
        self._errors = [error]

    async def accept(self) -> Any:
        if self._errors:
            raise self._errors.pop()
        return await self._socket.accept()


@final
class RioListener(Listener[RioStream]):
    """Accepts connections as :class:`RioStream`; otherwise as :class:`trio.SocketListener`.

    Args:
      socket: a Trio socket of type ``SOCK_STREAM``, listening. The listener owns it: closing the listener closes it.

    Raises:
      TypeError: not a Trio socket.
      ValueError: not of type ``SOCK_STREAM``, or not listening.
    """

    __slots__ = ("__weakref__", "_accepting", "_inherits", "socket")

    #: The Trio socket that this listener wraps.
    socket: trio.socket.SocketType

    def __init__(self, socket: trio.socket.SocketType) -> None:
        try:
            self._accepting = trio.SocketListener(socket)
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace("SocketListener", "RioListener")) from None
        self.socket = socket
        self._inherits: bool | None = None  # whether what it accepts has its options; None: nobody has looked

    async def accept(self) -> RioStream:
        """Wait for a connection. A checkpoint; cancelling it takes none.

        Errors that belong to a connection that went away before it was accepted are passed over.

        Raises:
          ClosedResourceError: the listener was closed, before or meanwhile.
          BusyResourceError: another task is accepting.
          OSError: anything else. ``trio.serve_listeners`` goes on after EMFILE, ENFILE, ENOBUFS and ENOMEM.
        """
        self._set_options_to_inherit()
        try:
            accepted, _ = await self.socket.accept()
        except OSError as error:
            self._accepting.socket = cast("trio.socket.SocketType", _Failed(self.socket, error))
            return rio_stream_from(await self._accepting.accept())
        return self._stream_on(accepted)

    async def _wait(self) -> None:
        """Wait for a connection, or an error, to be there. A checkpoint.

        On a socket of somebody's own class, :meth:`accept` is what waits, and this does nothing.

        Raises:
          ClosedResourceError: the listener was closed, before or meanwhile.
          BusyResourceError: another task is accepting.
        """
        if not isinstance(self.socket, StockSocketType):
            return
        number = self.socket.fileno()
        if number == -1:
            raise trio.ClosedResourceError("this listener was already closed")
        self._set_options_to_inherit()
        await trio.lowlevel.wait_readable(number)

    def _set_options_to_inherit(self) -> None:
        if self._inherits is None:
            set_stream_options(self.socket)

    def _accept_waiting(self) -> RioStream | None:
        """Take a connection that waits. ``None``: there is none, or it cannot be had, as :meth:`accept` tells."""
        if not isinstance(self.socket, StockSocketType):
            return None
        listening = stdlib_socket_of(self.socket)
        try:
            accepted, _ = accept_now(self.socket, listening)
        except OSError:
            return None
        return self._stream_on(accepted)

    def _stream_on(self, accepted: trio.socket.SocketType) -> RioStream:
        if self._inherits is None:
            option = trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY
            try:
                self._inherits = accepted.getsockopt(*option) == self.socket.getsockopt(*option)
            except OSError:  # no TCP socket
                self._inherits = False
        if not self._inherits:
            set_stream_options(accepted)
        return rio_stream_on(accepted)

    async def aclose(self) -> None:
        """Close the socket, then a checkpoint; a task that accepts gets ClosedResourceError. Twice is allowed."""
        self.socket.close()
        await trio.lowlevel.checkpoint()
