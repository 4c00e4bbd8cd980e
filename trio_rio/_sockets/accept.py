"""Accepting a connection that waits, and making a Trio socket of it.

Facts. The stdlib asks for family and type of an accepted socket by enumerations of Python, Trio looks for its class,
and trio_rio at whether RIO can serve it. All of that is known: an accepted socket is of the listening one's family
and type.

Decision. In a run where any socket of these kinds can be served, both sockets are made from what is known. Elsewhere
the stdlib and Trio make them."""

from __future__ import annotations

import os
import socket
from typing import Any

import trio

from .._engine.current import current_engine
from ..rio.checks import raw_family, raw_type
from .base import SocketOfRun


def _socket_with_number(family: int, kind: int, proto: int, number: int) -> socket.socket:
    """A socket, not blocking, that owns this number; if it cannot be made, the number is closed."""
    try:
        sock = socket.socket(family, kind, proto, number)
    except BaseException:
        os.close(number)
        raise
    sock.setblocking(False)
    return sock


def accept_now(trio_socket: Any, listening: socket.socket) -> tuple[Any, Any]:
    """Accept on ``listening``, the socket inside of a Trio socket; another Trio socket, and its peer's address.

    Raises:
      BlockingIOError: no connection waits.
      OSError: as :meth:`socket.socket.accept`.
    """
    engine = current_engine()
    is_served = engine is not None and engine.attaches_late and engine.serves_sockets
    if not is_served or type(trio_socket) is not SocketOfRun.served:
        sock, address = listening.accept()
        accepted = trio.socket.from_stdlib_socket(sock)
        if engine is not None and isinstance(accepted, SocketOfRun.served):
            engine.own_sockets.adopt_accepted(listening, sock)
        return accepted, address
    assert engine is not None
    family, kind, proto = raw_family(listening), raw_type(listening), listening.proto
    number, address = listening._accept()  # type: ignore[attr-defined]
    inner = _socket_with_number(family, kind, proto, number)  # first of all: it closes the number, whatever fails
    made: Any = object.__new__(SocketOfRun.served)
    made._sock = inner
    made._did_shutdown_SHUT_WR = False
    made._calls_left, made._begins_in_c = trio_socket._first_calls, engine.turn is not None
    return made, address
