"""Echo over TCP: one task for each connection, in whatever way completions are collected.

Ends with Ctrl-C, or when so many connections as given have come and gone.
"""

from __future__ import annotations

import argparse
import sys
import time

import attrs
import trio
from counting import exit_code, within

import trio_rio

RECEIVE_SIZE_BYTES = 65536


@attrs.define
class Echo:
    """What the server has done."""

    connections_left: int | None  # None: for ever
    messages: int = 0
    first: float = 0.0
    last: float = 0.0
    done: trio.Event = attrs.field(factory=trio.Event)

    async def serve(self, stream: trio_rio.RioStream) -> None:
        """One connection."""
        try:
            while data := await stream.receive_some(RECEIVE_SIZE_BYTES):
                self.first = self.first or time.perf_counter()
                await stream.send_all(data)
                self.messages += 1
                self.last = time.perf_counter()
        except trio.BrokenResourceError:
            pass  # the peer is gone: that is its right
        if self.connections_left is not None:
            self.connections_left -= 1
            if not self.connections_left:
                self.done.set()


async def echo(options: argparse.Namespace) -> None:
    """Listen, and echo until the end."""
    server = Echo(options.connections)
    try:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(
                lambda task_status: trio_rio.serve_tcp(
                    server.serve, options.port, host=options.host, task_status=task_status
                )
            )
            host, port = listeners[0].socket.getsockname()[:2]
            numbers = trio_rio.current_statistics()
            print(f"listening on {host}:{port}, provider {numbers.provider}, {numbers.notification}", flush=True)
            await server.done.wait()
            nursery.cancel_scope.cancel()
    finally:
        numbers = trio_rio.current_statistics()
        elapsed = server.last - server.first
        print(f"messages:             {server.messages}")
        print(f"messages per second:  {server.messages / elapsed if elapsed else 0:.0f}")
        print(f"results per dequeue:  {numbers.results_per_dequeue_mean:.1f}")
        print(f"dequeues:             {numbers.dequeue_calls}")
        print(f"notifications:        {numbers.notifications_received}", flush=True)


def main() -> int:
    """Parse the options, and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=within(0, 65535), default=8080, help="0 for a free one (default: %(default)s)")
    parser.add_argument("--connections", type=within(1, 10**9), help="to serve before the end (default: no end)")
    parser.add_argument("--notification", choices=["port", "event", "polled"], default="port")
    parser.add_argument(
        "--poll", type=within(0, 10_000_000), default=0, metavar="MICROSECONDS",
        help="to look before it arms and sleeps (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--queues", type=within(1, 64), default=1, help="completion queues (default: %(default)s)")
    parser.add_argument(
        "--separate-sends", action=argparse.BooleanOptionalAction,
        help="give sends queues of their own (default: where that is cheap)",
    )  # fmt: skip
    parser.add_argument("--provider", help="uring, portable, winsock (default: the first that works)")
    options = parser.parse_args()
    return exit_code(
        lambda: trio_rio.run(
            echo,
            options,
            config=trio_rio.RioConfig(
                provider=options.provider,
                notification=options.notification,
                busy_poll_seconds=options.poll / 1e6,
                completion_queues=options.queues,
                separate_send_queue=options.separate_sends,
            ),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
