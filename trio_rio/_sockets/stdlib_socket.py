"""A stand-in for the module ``socket`` inside of Trio's, for providers that serve only the sockets that they make.

Facts. ``trio.socket.socket()`` calls ``socket.socket`` of a module global and hands the result to the socket class;
by then it is too late to make the socket otherwise. A socket factory of ours would replace the program's.

Decision. Inside a run on such a provider ``socket()`` makes the engine's sockets, everywhere else, and with
``fileno``, plain ones; every other name is the module's.
"""

from __future__ import annotations

import socket
from typing import Any

from .._engine.current import current_engine


class SocketModule:
    """See the module's docstring."""

    def __init__(self) -> None:
        self.socket = _SocketMaker()

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)


class _SocketMaker:
    """A stand-in for the class :class:`socket.socket`, whose other attributes it has."""

    def __call__(
        self,
        family: int = socket.AF_INET,
        type: int = socket.SOCK_STREAM,
        proto: int = 0,
        fileno: int | None = None,
    ) -> socket.socket:
        engine = current_engine()
        if engine is None or fileno is not None:
            return socket.socket(family, type, proto, fileno)
        return engine.own_sockets.make(family, type, proto)

    def __getattr__(self, name: str) -> Any:
        return getattr(socket.socket, name)
