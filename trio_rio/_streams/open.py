"""Opening streams and listeners: Trio's own functions, with a RioStream at the end.

Trio resolves names, orders addresses and chooses the sockets that listen. What it returns is a SocketStream or a
SocketListener, whose socket is then given to a class of ours.
"""

from __future__ import annotations

import os

# By these names, so that a program may put the functions below in place of Trio's.
from trio import (
    open_tcp_listeners as open_trio_tcp_listeners,
    open_tcp_stream as open_trio_tcp_stream,
    open_unix_socket as open_trio_unix_socket,
)

from .listener import RioListener
from .stream import RioStream, rio_stream_from

# Trio's own figure, which its documentation gives; RFC 8305 recommends it.
_HAPPY_EYEBALLS_DELAY_SECONDS = 0.250


async def open_tcp_stream(
    host: str | bytes,
    port: int,
    *,
    happy_eyeballs_delay: float | None = _HAPPY_EYEBALLS_DELAY_SECONDS,
    local_address: str | None = None,
) -> RioStream:
    """Connect by TCP. A checkpoint; cancelled, it leaves no connection behind.

    As :func:`trio.open_tcp_stream`, which does the work, happy eyeballs included.

    Args:
      host: a name or an address.
      port: a port number.
      happy_eyeballs_delay: how many seconds to wait for one address before the next is tried as well; ``None`` waits
        until it has failed.
      local_address: an address of this machine to connect from; ``None`` leaves it to the system.

    Raises:
      OSError: no address could be connected to.
      ValueError, TypeError: an argument makes no sense.
    """
    stream = await open_trio_tcp_stream(
        host, port, happy_eyeballs_delay=happy_eyeballs_delay, local_address=local_address
    )
    return rio_stream_from(stream)


async def open_unix_socket(filename: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> RioStream:
    """Connect to a UNIX socket. A checkpoint; cancelled, it leaves no connection behind.

    RIO does not serve UNIX sockets: the stream uses the socket's own methods, on every provider.

    Args:
      filename: the path of the socket.

    Raises:
      OSError: it could not be connected to.
      RuntimeError: the platform has no UNIX sockets.
    """
    return rio_stream_from(await open_trio_unix_socket(filename))


async def open_tcp_listeners(
    port: int, *, host: str | bytes | None = None, backlog: int | None = None
) -> list[RioListener]:
    """Listen for TCP connections. A checkpoint.

    As :func:`trio.open_tcp_listeners`, which does the work.

    Args:
      port: a port number; 0 for any that is free (several listeners may then have several ports).
      host: a name or an address; ``None`` for all addresses, IPv4 and IPv6.
      backlog: connections that the kernel keeps until they are accepted; ``None`` for as many as it likes.

    Returns:
      At least one listener.

    Raises:
      OSError: nothing could be listened to.
      TypeError: an argument makes no sense.
    """
    listeners = await open_trio_tcp_listeners(port, host=host, backlog=backlog)
    return [RioListener(listener.socket) for listener in listeners]
