"""The Trio program that is measured: ``trio.serve_tcp``, SocketStream and trio.socket, nothing else.

Whoever runs it (``trio.run`` or another) runs exactly this; with another ``serve_tcp``, on the streams of that.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import trio

from . import ServerSettings
from ._python_server import DATAGRAM_BUFFER_BYTES, announce, bulk_message

StreamHandler: TypeAlias = Callable[[trio.abc.Stream], Awaitable[None]]
ServeTcp: TypeAlias = Callable[..., Awaitable[None]]
FactsFunction: TypeAlias = Callable[[], Mapping[str, object]]


async def echo(stream: trio.abc.Stream) -> None:
    """Send back what comes, until the peer closes."""
    while data := await stream.receive_some():
        await stream.send_all(data)


async def accept(message_bytes: int, stream: trio.abc.Stream) -> None:
    """Send back one message; serve_tcp closes the stream."""
    received = 0
    while received < message_bytes and (data := await stream.receive_some()):
        received += len(data)
        await stream.send_all(data)


async def bulk_receive(stream: trio.abc.Stream) -> None:
    """Count bytes until end of file, and answer with the count."""
    count = 0
    while data := await stream.receive_some():
        count += len(data)
    await stream.send_all(count.to_bytes(8, "little"))


async def bulk_send(message: bytes, stream: trio.abc.Stream) -> None:
    """Send as many messages as each request asks for."""
    request = b""
    while data := await stream.receive_some(8 - len(request)):
        request += data
        if len(request) == 8:
            for _ in range(int.from_bytes(request, "little")):
                await stream.send_all(message)
            request = b""


async def udp_echo(sock: trio.socket.SocketType) -> None:
    """Send each datagram back."""
    while True:
        data, address = await sock.recvfrom(65536)
        await sock.sendto(data, address)


async def udp_receive(sock: trio.socket.SocketType) -> None:
    """Count datagrams; an empty one asks for the count."""
    datagrams = size_bytes = 0
    while True:
        data, address = await sock.recvfrom(65536)
        if data:
            datagrams += 1
            size_bytes += len(data)
        else:
            await sock.sendto(datagrams.to_bytes(8, "little") + size_bytes.to_bytes(8, "little"), address)


def _stream_handler(settings: ServerSettings) -> StreamHandler:
    if settings.workload == "accept":
        return functools.partial(accept, settings.message_bytes)
    if settings.workload == "bulk_send":
        return functools.partial(bulk_send, bulk_message(settings.message_bytes))
    return {"echo": echo, "bulk_receive": bulk_receive}[settings.workload]


async def serve(settings: ServerSettings, facts: FactsFunction, serve_tcp: ServeTcp = trio.serve_tcp) -> None:
    """Serve one workload until the process is ended.

    Args:
      settings: from the command line.
      facts: called within the run, when the server listens; goes into the results.
      serve_tcp: whose streams are measured.
    """
    if settings.workload in ("udp_echo", "udp_receive"):
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
            sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, DATAGRAM_BUFFER_BYTES)
            await sock.bind(("127.0.0.1", 0))
            announce(sock.getsockname()[1], facts())
            await (udp_echo if settings.workload == "udp_echo" else udp_receive)(sock)
    async with trio.open_nursery() as nursery:
        serving = functools.partial(serve_tcp, _stream_handler(settings), 0, host="127.0.0.1")
        listeners: list[trio.SocketListener] = await nursery.start(serving)
        announce(listeners[0].socket.getsockname()[1], facts())
