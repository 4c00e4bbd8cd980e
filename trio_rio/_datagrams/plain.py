"""Datagrams without RIO: on stock Trio, and where RIO cannot serve the socket or has no memory left.

It receives by the same methods as a :class:`~.queue.DatagramQueue`, on the non-blocking socket and Trio's readiness
waits. A receive has room for any datagram, so that one which is longer than the channel wants is noticed."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, ClassVar

import attrs
import trio

from .._errors import TruncatedDatagramError

if TYPE_CHECKING:
    from ..rio import Address
    from .queue import Arrival

# Longer than any datagram: the length field of UDP has 16 bits [RFC 768].
_ROOM_BYTES = 65536


@attrs.define(eq=False)
class PlainDatagrams:
    """A datagram socket, batch by batch."""

    is_ended: ClassVar[bool] = False  # closing a plain socket wakes the tasks that wait on it

    sock: socket.socket
    receives: int  # datagrams in a batch, at most
    size_bytes: int
    blocked: trio.Lock = attrs.field(factory=trio.Lock)  # one task may wait for room

    def fetch(self, limit: int | None = None) -> list[Arrival]:
        """Everything that has come, in order, but no more than ``limit``, or a batch. Never waits."""
        arrivals: list[Arrival] = []
        if limit is None:
            limit = self.receives
        try:
            while len(arrivals) < limit:
                data, address = self.sock.recvfrom(_ROOM_BYTES)
                if len(data) > self.size_bytes:
                    arrivals.append(TruncatedDatagramError(data[: self.size_bytes], address))
                else:
                    arrivals.append((data, address))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            arrivals.append(error)
        except MemoryError:
            if not arrivals:
                raise
        return arrivals

    async def wait(self) -> None:
        """Wait until there may be something to fetch; as Trio's ``wait_readable``."""
        await trio.lowlevel.wait_readable(self.sock)

    async def send(self, data: bytes, address: Address | None) -> bool:
        """Send one datagram, waiting for room; whether it had to wait. Not a checkpoint otherwise.

        Raises:
          OSError: of the socket.
          ClosedResourceError: the channel was closed meanwhile.
        """
        has_waited = False
        while True:
            try:
                if address is None:
                    self.sock.send(data)
                else:
                    self.sock.sendto(data, address)
                return has_waited
            except (BlockingIOError, InterruptedError):
                async with self.blocked:
                    await trio.lowlevel.wait_writable(self.sock)
                has_waited = True
