"""anyio on Trio: a TCP server that sends back what comes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ._server import parser, run


async def serve(say_port: Callable[[int], None]) -> None:
    """Serve until the process is ended."""
    anyio: Any = importlib.import_module("anyio")

    async def echo(stream: Any) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    say_port(listener.extra(anyio.abc.SocketAttribute.local_port))
    await listener.serve(echo)


if __name__ == "__main__":
    run(parser().parse_args().runner, serve)
