"""What the ``winsock`` provider gets from Windows: the function table, and sockets that it serves.

Facts. The table is asked for by an ioctl on any socket. ``socket.socket()`` makes sockets without
WSA_FLAG_REGISTERED_IO. On a UDP socket an ICMP "port unreachable" fails the *next* receive, unless SIO_UDP_CONNRESET is
off: with receives posted that would be a receive that has nothing to do with it.

Decision. A socket is made as CPython makes it (overlapped, not inheritable), with that flag besides. Where RIO has no
such sockets at all, or Windows refuses the flag, it is a plain one.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import Any

from ..errors import RioUnavailableError, status_name
from .ffi import (
    INVALID_HANDLE,
    SIO_GET_MULTIPLE_EXTENSION_FUNCTION_POINTER,
    SIO_UDP_CONNRESET,
    WSA_FLAG_NO_HANDLE_INHERIT,
    WSA_FLAG_OVERLAPPED,
    WSA_FLAG_REGISTERED_IO,
    WSAID_MULTIPLE_RIO,
    error_of_last_call,
    ffi,
    last_error,
    libraries,
)

_TABLE = "RIO_EXTENSION_FUNCTION_TABLE"


def load_table() -> Any:
    """RIO_EXTENSION_FUNCTION_TABLE, filled.

    Raises:
      RioUnavailableError: Windows does not give it.
    """
    if sys.platform != "win32":
        raise RioUnavailableError("winsock", "Registered I/O is Windows' own", "ask for another, or for no certain one")
    table, guid = ffi.new(f"{_TABLE} *"), ffi.new("char[16]", WSAID_MULTIPLE_RIO)
    table.cbSize = ffi.sizeof(_TABLE)
    size = ffi.new("uint32_t *")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        failed = libraries().ws2_32.WSAIoctl(
            sock.fileno(), SIO_GET_MULTIPLE_EXTENSION_FUNCTION_POINTER,
            guid, len(WSAID_MULTIPLE_RIO), table, ffi.sizeof(_TABLE), size, ffi.NULL, ffi.NULL,
        )  # fmt: skip
        code = last_error() if failed else 0
    if failed:
        raise RioUnavailableError(
            "winsock",
            f"WSAIoctl gives no RIO function table: {status_name(code)} ({code})",
            "use Windows 8, Server 2012 or later; a layered service provider (netsh winsock show catalog), such as "
            "some virus scanners install, may hide it; until then portable serves",
        )
    if table.cbSize < ffi.sizeof(_TABLE) or not all(getattr(table, name) for name in dir(table) if name != "cbSize"):
        raise RioUnavailableError(
            "winsock",
            f"the RIO function table that WSAIoctl gave is not complete ({table.cbSize} bytes)",
            "look for a layered service provider (netsh winsock show catalog)",
        )
    return table


def make_rio_socket(family: int, type_: int, proto: int) -> socket.socket:
    """A socket that RIO can serve, if it has such; else a plain one.

    Raises:
      OSError: as :class:`socket.socket`.
    """
    if family not in (socket.AF_INET, socket.AF_INET6) or type_ not in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        return socket.socket(family, type_, proto)
    flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT | WSA_FLAG_REGISTERED_IO
    handle = libraries().ws2_32.WSASocketW(family, type_, proto, ffi.NULL, 0, flags)
    if handle == INVALID_HANDLE:
        return socket.socket(family, type_, proto)  # which says what is wrong, if the flag is not
    sock = socket.socket(family, type_, proto, fileno=handle)
    if type_ == socket.SOCK_DGRAM:
        # Windows before 2000 has no such ioctl, and Wine has not: there the receive after an ICMP error fails.
        with contextlib.suppress(OSError):
            set_connreset(sock, False)
    return sock


def set_connreset(sock: socket.socket, is_on: bool) -> None:
    """SIO_UDP_CONNRESET: whether an ICMP error fails the next receive of a UDP socket.

    Raises:
      OSError: Windows refused it.
    """
    value, size = ffi.new("int32_t *", int(is_on)), ffi.new("uint32_t *")
    if libraries().ws2_32.WSAIoctl(
        sock.fileno(), SIO_UDP_CONNRESET, value, 4, ffi.NULL, 0, size, ffi.NULL, ffi.NULL
    ):  # fmt: skip
        raise error_of_last_call()


__all__ = ["load_table", "make_rio_socket", "set_connreset"]
