"""A program written for anyio, a server and three clients; only its start knows of trio_rio."""

from __future__ import annotations

import anyio
import anyio.abc
from app import served_by

import trio_rio


async def echo(stream: anyio.abc.SocketStream) -> None:
    """Send back what comes."""
    async with stream:
        async for data in stream:
            await stream.send(data)


async def talk(port: int, number: int) -> None:
    """Send a line, and print what comes back."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"hello from %d" % number)
        print(f"on {served_by()}: {(await stream.receive()).decode()}")


async def main() -> None:
    """Serve, and talk to the server."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, echo)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as clients:
            for number in range(3):
                clients.start_soon(talk, port, number)
        group.cancel_scope.cancel()


if __name__ == "__main__":
    trio_rio.install()
    anyio.run(main, backend="trio")
