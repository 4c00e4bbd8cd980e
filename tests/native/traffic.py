"""The program that test_faults.py runs: some traffic over loopback, and what there is to say about it, as JSON.

    python traffic.py MESSAGES

Streams and datagrams go both ways, some receives are cancelled, a thread wakes the run, and every byte is checked. The
object printed has ``provider``, ``log`` (level and text of each record of trio_rio) and ``probe`` (name -> reason,
remedy of each provider that cannot serve).
"""

from __future__ import annotations

import json
import logging
import socket
import sys

import trio

import trio_rio


class Records(logging.Handler):
    """Keeps what is logged, but for the line that says what serves."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See :meth:`logging.Handler.emit`."""
        if not record.getMessage().startswith("runs are served by"):
            self.texts.append((record.levelname, record.getMessage()))


async def echo(stream: trio.SocketStream) -> None:
    """Send back what comes, until the end."""
    async with stream:
        async for data in stream:
            await stream.send_all(data)


async def stream_traffic(messages: int) -> None:
    """Messages of several sizes through an echo server."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        address = listeners[0].socket.getsockname()
        stream = await trio.open_tcp_stream(*address[:2])
        for number in range(messages):
            with trio.move_on_after(0):
                raise AssertionError(f"received {await stream.receive_some()!r}")
            message = bytes([number % 256]) * (1 + number * 997 % 100_000)
            await stream.send_all(message)
            received = bytearray()
            while len(received) < len(message):
                received += await stream.receive_some()
            assert received == message
        await stream.aclose()
        nursery.cancel_scope.cancel()


async def datagram_traffic(messages: int) -> None:
    """Datagrams to ourselves."""
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        await ours.bind(("127.0.0.1", 0))
        for number in range(messages):
            message = b"%d" % number
            await ours.sendto(message, ours.getsockname())
            assert await ours.recvfrom(100) == (message, ours.getsockname())
            await trio.to_thread.run_sync(int)


async def main(messages: int) -> str:
    """All the traffic at the same time; the provider that carried it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream_traffic, messages)
        nursery.start_soon(datagram_traffic, messages)
    return trio_rio.current_statistics().provider


if __name__ == "__main__":
    records = Records()
    logging.getLogger("trio_rio").addHandler(records)
    logging.getLogger("trio_rio").setLevel(logging.DEBUG)
    provider = trio_rio.run(main, int(sys.argv[1]))
    refused = {item.name: (item.reason, item.remedy) for item in trio_rio.probe().providers if not item.is_available}
    json.dump({"provider": provider, "log": records.texts, "probe": refused}, sys.stdout)
