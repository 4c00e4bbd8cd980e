"""The server that is measured, as a process of its own: one Trio program for both ways to run it.

    python -m trio_rio._cli.bench.server trio_rio|trio [PROVIDER]

Prints one line of JSON with its ports and what serves it. To each line on its standard input it answers with one line
of JSON: the CPU time that it has used. It ends when standard input ends, which happens whenever the process that
started it goes away.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

import trio

import trio_rio

HOST = "127.0.0.1"
DATAGRAM_SIZE_BYTES = 2048


async def echo(stream: trio.SocketStream) -> None:
    """Send back what comes until the client has no more."""
    try:
        async for data in stream:
            await stream.send_all(data)
    except trio.BrokenResourceError:
        pass  # the client is gone


async def echo_once(stream: trio.SocketStream) -> None:
    """Send back what comes first; the listener closes the stream."""
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(await stream.receive_some())


async def echo_datagrams(sock: trio.socket.SocketType) -> None:
    """Send each datagram back to where it came from."""
    while True:
        try:
            data, address = await sock.recvfrom(DATAGRAM_SIZE_BYTES)
            await sock.sendto(data, address)
        except ConnectionError:
            pass  # Windows says so of a datagram before, whose sender is gone


async def serve(backend: str) -> None:
    """Serve on free ports of the loopback until standard input ends."""
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.bind((HOST, 0))
        said: dict[str, object] = {"udp": sock.getsockname()[1]}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(echo_datagrams, sock)
            for name, handler in (("echo", echo), ("accept", echo_once)):
                listeners = await trio.open_tcp_listeners(0, host=HOST)
                said[name] = listeners[0].socket.getsockname()[1]
                nursery.start_soon(trio.serve_listeners, handler, listeners)
            if backend != "trio":
                counts = trio_rio.current_statistics()
                said |= {"provider": counts.provider, "because": counts.provider_because}
            print(json.dumps(said), flush=True)
            # A thread, not a readiness wait: Windows cannot wait for a pipe.
            while await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), 1024):
                print(json.dumps({"cpu_seconds": time.process_time()}), flush=True)
            nursery.cancel_scope.cancel()


def main(backend: str, provider: str | None = None) -> None:
    """Run :func:`serve` on one of the two backends."""
    if backend == "trio":
        trio.run(serve, backend)
    else:
        trio_rio.run(serve, backend, config=trio_rio.RioConfig(provider=provider))


if __name__ == "__main__":
    main(*sys.argv[1:])
