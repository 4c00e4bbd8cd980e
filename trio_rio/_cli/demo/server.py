"""The servers of the demonstration, as a process of their own: one Trio program for both ways to run it.

    python -m trio_rio._cli.demo.server trio_rio|trio [PROVIDER]

Prints one line of JSON with its ports, then serves until its standard input ends. That happens whenever the process
that started it goes away, so no server is ever left behind.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

import attrs
import trio

import trio_rio

from .http import HttpConnection, make_handler

HOST = "127.0.0.1"


async def echo(stream: trio.SocketStream) -> None:
    """Send back what comes until the client has no more."""
    try:
        async for data in stream:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass  # the client is gone


async def serve(statistics: Callable[[], bytes]) -> None:
    """Serve HTTP and echo on free ports of the loopback until standard input ends."""
    handler = make_handler(statistics)

    async def serve_http(stream: trio.SocketStream) -> None:
        await HttpConnection(stream, handler).serve()

    async with trio.open_nursery() as nursery:
        ports = {}
        for name, handle in (("http", serve_http), ("echo", echo)):
            listeners = await trio.open_tcp_listeners(0, host=HOST)
            ports[name] = listeners[0].socket.getsockname()[1]
            nursery.start_soon(trio.serve_listeners, handle, listeners)
        print(json.dumps(ports), flush=True)
        # A thread, not a readiness wait: standard input may be a file, and Windows can not wait for a pipe.
        while await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), 1024):
            pass
        nursery.cancel_scope.cancel()


def statistics_of_process() -> bytes:
    """What ``/statistics`` says of a stock Trio run: the CPU time of this process."""
    return json.dumps({"cpu_seconds": time.process_time()}).encode()


def statistics_of_run() -> bytes:
    """What ``/statistics`` says of a trio_rio run: the CPU time of this process, and the backend's own counts."""
    counts = attrs.asdict(trio_rio.current_statistics())
    return json.dumps({"cpu_seconds": time.process_time(), **counts}, default=str).encode()


def main(backend: str, provider: str | None = None) -> None:
    """Run :func:`serve` on one of the two backends."""
    if backend == "trio":
        trio.run(serve, statistics_of_process)
    else:
        trio_rio.run(serve, statistics_of_run, config=trio_rio.RioConfig(provider=provider))


if __name__ == "__main__":
    main(*sys.argv[1:])
