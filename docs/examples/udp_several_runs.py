"""Count datagrams in several runs: each thread has a run with its own port, queues and socket, and shares nothing.

Thread number N listens at the port given plus N; ``udp_generator.py --servers`` sends to all of them. The threads
share Python's interpreter lock, so on an ordinary build of Python they take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

import attrs
import trio
from counting import Count, add_receives, exit_code, make_parser, open_socket, report, within

import trio_rio


@attrs.define
class Server:
    """One thread's part: what it counted, and how another thread ends it."""

    port: int
    count: Count
    stopping: threading.Event
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    token: trio.lowlevel.TrioToken | None = None
    numbers: trio_rio.RioStatistics | None = None

    def stop(self) -> None:
        """End its run, from any thread."""
        if self.token is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self.token.run_sync_soon(self.scope.cancel)


async def serve(server: Server, host: str) -> None:
    """The main function of each of the runs."""
    server.token = trio.lowlevel.current_trio_token()
    with await open_socket(host, server.port) as sock:
        print(f"listening on {host}:{sock.getsockname()[1]}", flush=True)
        with server.scope:
            while not server.stopping.is_set() and server.count.take(len(await sock.recv(server.count.size_bytes + 1))):
                pass
        server.numbers = trio_rio.current_statistics()


def run_all(servers: list[Server], options: argparse.Namespace) -> None:
    """Give each run a thread; Ctrl-C, and the failure of one, end them all."""
    config = trio_rio.RioConfig(provider=options.provider, read_ahead=options.receives)

    def run_one(server: Server) -> None:
        trio_rio.run(serve, server, options.host, config=config)

    try:
        with ThreadPoolExecutor(len(servers)) as pool:
            # Ctrl-C can come while the first threads run and the last ones are still to be started.
            try:
                for run in as_completed([pool.submit(run_one, server) for server in servers]):
                    run.result()
            finally:
                servers[0].stopping.set()
                for server in servers:
                    server.stop()
    finally:
        print_sum(servers)


def print_sum(servers: list[Server]) -> None:
    """What all of them counted, together."""
    numbers = [server.numbers for server in servers if server.numbers is not None]
    for server in servers:
        print(f"a thread counted {server.count.datagrams} datagrams, {server.count.per_second:.0f} per second")
    counts = [server.count for server in servers if server.count.datagrams]
    if not counts:
        return
    first, last = min(count.first for count in counts), max(count.last for count in counts)
    total = Count(0, 0, sum(count.datagrams for count in counts), first, last)
    with_results = sum(one.completions_dequeued / (one.results_per_dequeue_mean or 1) for one in numbers)
    results = sum(one.completions_dequeued for one in numbers) / (with_results or 1)
    dequeues = sum(one.dequeue_calls for one in numbers)
    report(total, results, dequeues, sum(one.notifications_received for one in numbers))


def main() -> int:
    """Parse the options, and serve."""
    parser = make_parser(__doc__)
    add_receives(parser)
    parser.add_argument("--threads", type=within(1, 64), default=2, help="runs (default: %(default)s)")
    options = parser.parse_args()
    if options.port + options.threads > 65536:
        parser.error(f"there are not {options.threads} ports from {options.port} on")
    stopping = threading.Event()
    servers = [
        Server(options.port + number if options.port else 0, Count(options.size, options.work), stopping)
        for number in range(options.threads)
    ]
    return exit_code(lambda: run_all(servers, options))


if __name__ == "__main__":
    sys.exit(main())
