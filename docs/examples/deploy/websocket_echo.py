"""A web socket server and a client of it, by trio-websocket."""

from __future__ import annotations

from functools import partial

import trio
from app import served_by
from trio_websocket import ConnectionClosed, WebSocketRequest, open_websocket, serve_websocket

import trio_rio


async def echo(request: WebSocketRequest) -> None:
    """Send back what comes, until the client goes."""
    connection = await request.accept()
    while True:
        try:
            await connection.send_message(await connection.get_message())
        except ConnectionClosed:
            return


async def main() -> None:
    """Serve, and talk to the server."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve_websocket, echo, "127.0.0.1", 0, ssl_context=None))
        async with open_websocket("127.0.0.1", server.port, "/", use_ssl=False) as connection:
            for number in range(3):
                await connection.send_message(f"hello {number}")
                print(f"on {served_by()}: {await connection.get_message()!r}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio_rio.run(main)
