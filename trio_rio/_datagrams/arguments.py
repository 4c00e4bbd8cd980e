"""Arguments of datagram channels: checked, and brought into the form in which they are used."""

from __future__ import annotations

import operator
import socket as stdlib_socket
from typing import Any

import trio

from .. import _trio
from .._engine.copies import bytes_of


async def limit_of(datagrams_max: Any) -> int:
    """The limit as an integer of at least 1; else TypeError or ValueError. A checkpoint only if it raises."""
    try:
        limit = operator.index(datagrams_max)
        if limit < 1:
            raise ValueError(f"datagrams_max must be at least 1, or None for all, not {limit}")
    except (TypeError, ValueError):
        await trio.lowlevel.checkpoint()
        raise
    return limit


def check_number(name: str, value: object, high: int) -> None:
    """Raise TypeError or ValueError unless it is an integer within 1 .. ``high``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if not 1 <= value <= high:
        raise ValueError(f"{name} must be within 1 .. {high}, not {value}")


def checked_socket(socket: trio.socket.SocketType) -> stdlib_socket.socket:
    """The socket inside, if a channel can be made of it; else TypeError or ValueError."""
    if not isinstance(socket, trio.socket.SocketType):
        raise TypeError(f"DatagramChannel needs a Trio socket (trio.socket), not {socket!r}")
    if socket.type != stdlib_socket.SOCK_DGRAM or socket.family not in (stdlib_socket.AF_INET, stdlib_socket.AF_INET6):
        raise ValueError(f"DatagramChannel needs a datagram socket over IPv4 or IPv6, not {socket!r}")
    return _trio.stdlib_socket_of(socket)


def datagram_of(data: Any) -> bytes:
    """Copy an object that has a buffer; else TypeError. OSError: it cannot be read."""
    try:
        return bytes_of(data)
    except TypeError:
        raise TypeError(f"a datagram is bytes, or an object with a buffer, not {data!r}") from None
