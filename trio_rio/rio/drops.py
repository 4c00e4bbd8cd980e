"""The number of datagrams that the system has dropped at a socket."""

from __future__ import annotations

import socket
import struct
import sys

# getsockopt(2) of Linux 4.12 and later: nine counters of a socket, as ss(8) shows them; the last one is its drops
# [include/uapi/linux/sock_diag.h, sk_meminfo].
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")


def datagrams_dropped(sock: socket.socket) -> int | None:
    """Count datagrams that had no room in the socket's buffer, or were bad; ``None`` where the system does not say."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        counters = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:
        return None  # closed, or an older kernel
    return int(_MEMINFO.unpack(counters)[8]) if len(counters) == _MEMINFO.size else None
