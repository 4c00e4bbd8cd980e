"""asyncio's streams on uvloop: ``asyncio.start_server``, a reader and a writer."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from . import Opponent, ServerSettings
from ._python_server import bulk_message, parse_settings, python_command
from ._uvloop import BACKLOG, missing, run, say_port

StreamHandler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

RECEIVE_BYTES = 65536


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, until the peer closes."""
    while data := await reader.read(RECEIVE_BYTES):
        writer.write(data)
        await writer.drain()


async def accept(message_bytes: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back one message."""
    received = 0
    while received < message_bytes and (data := await reader.read(RECEIVE_BYTES)):
        received += len(data)
        writer.write(data)
        await writer.drain()


async def bulk_receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Count bytes until end of file, and answer with the count."""
    count = 0
    while data := await reader.read(RECEIVE_BYTES):
        count += len(data)
    writer.write(count.to_bytes(8, "little"))
    await writer.drain()


async def bulk_send(message: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send as many messages as each request asks for."""
    request = b""
    while data := await reader.read(8 - len(request)):
        request += data
        if len(request) == 8:
            for _ in range(int.from_bytes(request, "little")):
                writer.write(message)
                await writer.drain()
            request = b""


def _handler(settings: ServerSettings) -> StreamHandler:
    if settings.workload == "accept":
        return functools.partial(accept, settings.message_bytes)
    if settings.workload == "bulk_send":
        return functools.partial(bulk_send, bulk_message(settings.message_bytes))
    return {"echo": echo, "bulk_receive": bulk_receive}[settings.workload]


async def serve(settings: ServerSettings) -> None:
    """Serve one workload until the process is ended."""
    handler = _handler(settings)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except ConnectionError:
            pass  # the load generator has what it wants
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=BACKLOG)
    say_port(server.sockets[0].getsockname()[1])
    await server.serve_forever()


OPPONENT = Opponent(
    "uvloop_streams",
    "asyncio streams on uvloop",
    python_command("uvloop_streams"),
    missing,
    workloads=frozenset({"accept", "bulk_receive", "bulk_send", "echo"}),
    order=50,
)

if __name__ == "__main__":
    run(serve, parse_settings())
