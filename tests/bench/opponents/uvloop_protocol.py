"""An asyncio Protocol on uvloop: callbacks, no task and no stream for a connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from . import Opponent, ServerSettings
from ._python_server import DATAGRAM_BUFFER_BYTES, bulk_message, parse_settings, python_command
from ._uvloop import BACKLOG, missing, run, say_port


class Connection(asyncio.Protocol):
    """One TCP connection; while the peer does not read, nothing more is read from it."""

    transport: Any  # uvloop's are not of asyncio's classes

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def pause_writing(self) -> None:
        """Too much waits to be sent."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Most of it is sent."""
        self.transport.resume_reading()


class Echo(Connection):
    """Send back what comes, until the peer closes."""

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


class Accept(Connection):
    """Send back one message, then close."""

    def __init__(self, message_bytes: int) -> None:
        self.left_bytes = message_bytes

    def data_received(self, data: bytes) -> None:
        """Send it back, and close after the last of it."""
        self.transport.write(data)
        self.left_bytes -= len(data)
        if self.left_bytes <= 0:
            self.transport.close()


class BulkReceive(Connection):
    """Count bytes until end of file, and answer with the count."""

    def __init__(self) -> None:
        self.count = 0

    def data_received(self, data: bytes) -> None:
        """Count it."""
        self.count += len(data)

    def eof_received(self) -> None:
        """Answer; the transport closes when that is sent."""
        self.transport.write(self.count.to_bytes(8, "little"))


class BulkSend(Connection):
    """Send as many messages as each request asks for, as fast as the peer takes them."""

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.request = b""
        self.left = 0
        self.is_paused = False

    def data_received(self, data: bytes) -> None:
        """Add up the request, 8 bytes."""
        self.request += data
        if len(self.request) == 8:
            self.left = int.from_bytes(self.request, "little")
            self.request = b""
            self._send()

    def pause_writing(self) -> None:
        """Too much waits to be sent."""
        self.is_paused = True

    def resume_writing(self) -> None:
        """Most of it is sent."""
        self.is_paused = False
        self._send()

    def _send(self) -> None:
        while self.left and not self.is_paused:
            self.left -= 1
            self.transport.write(self.message)


class Datagrams(asyncio.DatagramProtocol):
    """Send each datagram back."""

    transport: Any  # as above

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Send it back."""
        self.transport.sendto(data, addr)


class CountedDatagrams(Datagrams):
    """Count datagrams; an empty one asks for the count."""

    def __init__(self) -> None:
        self.datagrams = self.size_bytes = 0

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Count it, or answer."""
        if data:
            self.datagrams += 1
            self.size_bytes += len(data)
        else:
            answer = self.datagrams.to_bytes(8, "little") + self.size_bytes.to_bytes(8, "little")
            self.transport.sendto(answer, addr)


def _connection_maker(settings: ServerSettings) -> Callable[[], Connection]:
    if settings.workload == "accept":
        return lambda: Accept(settings.message_bytes)
    if settings.workload == "bulk_send":
        message = bulk_message(settings.message_bytes)
        return lambda: BulkSend(message)
    return Echo if settings.workload == "echo" else BulkReceive


async def serve(settings: ServerSettings) -> None:
    """Serve one workload until the process is ended."""
    loop = asyncio.get_running_loop()
    if settings.workload in ("udp_echo", "udp_receive"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DATAGRAM_BUFFER_BYTES)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        protocol = Datagrams if settings.workload == "udp_echo" else CountedDatagrams
        await loop.create_datagram_endpoint(protocol, sock=sock)
        say_port(sock.getsockname()[1])
        await asyncio.Event().wait()
    server = await loop.create_server(_connection_maker(settings), "127.0.0.1", 0, backlog=BACKLOG)
    say_port(server.sockets[0].getsockname()[1])
    await server.serve_forever()


OPPONENT = Opponent(
    "uvloop_protocol", "asyncio Protocol on uvloop", python_command("uvloop_protocol"), missing, order=51
)

if __name__ == "__main__":
    run(serve, parse_settings())
