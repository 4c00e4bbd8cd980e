"""RioListener: a listening socket whose connections are RioStreams.

Some errors of accept(2) concern one connection that is gone already, others the listener. Trio has learnt over years
which is which, so a ``trio.SocketListener`` does the accepting.
"""

from __future__ import annotations

from typing import final

import trio
from trio.abc import Listener

from .stream import RioStream, rio_stream_from


@final
class RioListener(Listener[RioStream]):
    """Accepts connections as :class:`RioStream`; otherwise as :class:`trio.SocketListener`.

    Args:
      socket: a Trio socket of type ``SOCK_STREAM``, listening. The listener owns it: closing the listener closes it.

    Raises:
      TypeError: not a Trio socket.
      ValueError: not of type ``SOCK_STREAM``, or not listening.
    """

    __slots__ = ("__weakref__", "_accepting", "socket")

    #: The Trio socket that this listener wraps.
    socket: trio.socket.SocketType

    def __init__(self, socket: trio.socket.SocketType) -> None:
        try:
            self._accepting = trio.SocketListener(socket)
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace("SocketListener", "RioListener")) from None
        self.socket = socket

    async def accept(self) -> RioStream:
        """Wait for a connection. A checkpoint; cancelling it takes none.

        Errors that belong to a connection that went away before it was accepted are passed over.

        Raises:
          ClosedResourceError: the listener was closed, before or meanwhile.
          BusyResourceError: another task is accepting.
          OSError: anything else. ``trio.serve_listeners`` goes on after EMFILE, ENFILE, ENOBUFS and ENOMEM.
        """
        return rio_stream_from(await self._accepting.accept())

    async def aclose(self) -> None:
        """Close the socket, then a checkpoint; a task that accepts gets ClosedResourceError. Twice is allowed."""
        await self._accepting.aclose()
