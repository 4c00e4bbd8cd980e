"""What Trio makes of a stdlib socket while trio_rio is in place.

Facts. Trio calls one name for every socket that it makes. Programs call ``isinstance`` with the class that it is bound
to. RIO does not serve every kind of socket.

Decision. That name is bound to :class:`SocketOfRun`, which makes an instance of one of two classes, by the kind of the
socket.
"""

from __future__ import annotations

import socket
from typing import Any, ClassVar

from .. import _trio
from .._engine.current import current_engine
from ..rio.checks import can_serve, raw_type


def _may_serve() -> bool:
    return (engine := current_engine()) is None or engine.serves_sockets


class SocketOfRun(_trio.StockSocketType):
    """What Trio makes while trio_rio is in place: a :attr:`served` if RIO can serve it, else one as Trio's own."""

    served: ClassVar[Any]

    def __new__(cls, sock: socket.socket) -> Any:
        is_ours = cls is SocketOfRun and (type(sock) is not socket.socket or (can_serve(sock) and _may_serve()))
        return super().__new__(cls.served if is_ours else cls)

    def __init__(self, sock: socket.socket) -> None:
        if type(sock) is not socket.socket:
            raise TypeError(f"expected object of type 'socket.socket', not '{type(sock).__name__}'")
        # Trio's own would look for the class in a module that SocketModule may replace.
        self._sock = sock
        sock.setblocking(False)
        self._did_shutdown_SHUT_WR = False

    def _is_stream(self) -> bool:
        return type(self._sock) is socket.socket and raw_type(self._sock) == socket.SOCK_STREAM

    @property
    def type(self) -> socket.SocketKind:
        """See :attr:`socket.socket.type`."""
        return socket.SOCK_STREAM if self._is_stream() else self._sock.type
