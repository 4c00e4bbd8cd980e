"""A client of a websocket echo, with trio-websocket on stock Trio: a message on each connection, its echo, the next.

Prints one line of JSON with the number of echoes, and the seconds from the first message to the last echo.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
from typing import Any

import trio

MESSAGE_BYTES = 64


async def exchange(connection: Any, index: int, deadline: float, counts: list[int]) -> None:
    """Count the echoes of one connection."""
    while trio.current_time() < deadline:
        message = f"{index} {counts[index]}".encode().ljust(MESSAGE_BYTES, b".")
        await connection.send_message(message)
        if await connection.get_message() != message:
            raise SystemExit(f"connection {index}: something came back that was not sent")
        counts[index] += 1


async def drive(port: int, connections: int, seconds: float) -> None:
    """Open all connections, exchange messages on them, and tell the result."""
    open_websocket = importlib.import_module("trio_websocket").open_websocket
    async with contextlib.AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(open_websocket("127.0.0.1", port, "/", use_ssl=False))
            for _ in range(connections)
        ]
        counts = [0] * connections
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for index, connection in enumerate(opened):
                nursery.start_soon(exchange, connection, index, started + seconds, counts)
        print(json.dumps({"requests": sum(counts), "seconds": trio.current_time() - started}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    arguments = parser.parse_args()
    trio.run(drive, arguments.port, arguments.connections, arguments.seconds)
