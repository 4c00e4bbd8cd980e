"""Serve a Quart-Trio application: a page, and a web socket that echoes."""

from __future__ import annotations

import argparse
from functools import partial

from app import served_by
from quart import websocket
from quart_trio import QuartTrio

import trio_rio

app = QuartTrio(__name__)


@app.get("/")
async def index() -> dict[str, str]:
    """Say who serves."""
    return {"served_by": served_by()}


@app.websocket("/echo")
async def echo() -> None:
    """Send back what comes."""
    while True:
        await websocket.send(await websocket.receive())


def main() -> None:
    """Parse the options, and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1 (default: %(default)s)")
    options = parser.parse_args()
    trio_rio.run(partial(app.run_task, port=options.port))


if __name__ == "__main__":
    main()
