"""trio-websocket: sends each message back."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import trio

from ._server import parser, run


async def serve(say_port: Callable[[int], None]) -> None:
    """Serve until the process is ended."""
    trio_websocket: Any = importlib.import_module("trio_websocket")

    async def echo(request: Any) -> None:
        connection = await request.accept()
        try:
            while True:
                await connection.send_message(await connection.get_message())
        except trio_websocket.ConnectionClosed:
            pass  # as a client ends

    async with trio.open_nursery() as nursery:
        server = await nursery.start(trio_websocket.serve_websocket, echo, "127.0.0.1", 0, None)
        say_port(server.port)


if __name__ == "__main__":
    run(parser().parse_args().runner, serve)
