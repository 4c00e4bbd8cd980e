"""``python -m trio_rio demo``: real servers, real clients, every byte checked, and a fair comparison.

One Trio program serves HTTP/1.1 and a TCP echo. It runs twice at the same time in two processes: by
``trio_rio.run`` and by ``trio.run``. This process is the client of both.

Both are measured in turn, see ``rounds.py``.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Iterator, Sequence

import attrs
import httpx

from ..exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from ..load import EchoLoad, LoadError, connections
from ..processes import server_process
from ..progress import Progress
from ..rounds import Contestant, Sample, measure_in_turn, ratios, spread
from . import clients

CONNECTION_COUNT = 100
ECHO_SIZE_BYTES = 256 * 1024
ROUND_COUNT = 6


@attrs.define(eq=False)
class Server:
    """One server process and where it listens."""

    name: str
    http_port: int
    echo_port: int

    def cpu_seconds(self) -> float:
        """The CPU time that it has used."""
        seconds: float = clients.fetch_statistics(self.http_port)["cpu_seconds"]
        return seconds


@contextlib.contextmanager
def running_server(name: str, *arguments: str) -> Iterator[Server]:
    """A server process; it is gone when the block is left, in whatever manner.

    Raises:
      LoadError: it did not start.
    """
    with server_process(name, "trio_rio._cli.demo.server", *arguments) as server:
        yield Server(name, server.said["http"], server.said["echo"])


# -- measurement -------------------------------------------------------------------------------------------


def measure(servers: Sequence[Server], seconds: float, progress: Progress) -> list[list[Sample]]:
    """For each server its samples, one for each round; ``seconds`` are for all of them."""
    with contextlib.ExitStack() as stack:
        contestants = []
        for server in servers:
            sockets = stack.enter_context(connections(server.echo_port, CONNECTION_COUNT))
            contestants.append(Contestant(server.name, server.cpu_seconds, EchoLoad(sockets).run))
        return measure_in_turn(contestants, ROUND_COUNT, seconds / (len(servers) * (ROUND_COUNT + 1)), progress.note)


def show_speed(servers: Sequence[Server], samples: Sequence[Sequence[Sample]], progress: Progress) -> None:
    """Print the comparison."""
    for server, list_ in zip(servers, samples, strict=True):
        rate = statistics.median(sample.messages_per_second for sample in list_)
        cpu = statistics.median(sample.cpu_microseconds_per_message for sample in list_)
        progress.line("", f"{server.name:<10} {rate:>9,.0f} messages/s   {cpu:6.1f} us of server CPU per message")
    ours, theirs = samples
    rates = spread(ratios(*([one.messages_per_second for one in list_] for list_ in (ours, theirs))))
    cpus = spread(ratios(*([one.cpu_microseconds_per_message for one in list_] for list_ in (ours, theirs))))
    progress.line("", f"{'ratio':<10} {rates} messages/s, {cpus} CPU; median (least to greatest) of {len(ours)} rounds")


def show_queue(before: dict[str, float], after: dict[str, float], progress: Progress) -> None:
    """Print how the completion queue was used between two readings of the server's statistics."""
    counts = ("completions_dequeued", "dequeue_calls", "notifications_received")
    completions, dequeues, notifications = (after[name] - before[name] for name in counts)
    if not completions or not dequeues:
        raise LoadError("no completion was dequeued: the traffic did not go through RIO")
    progress.line(
        "queue",
        f"{completions / dequeues:.1f} results per dequeue, "
        f"{notifications / completions:.3f} notifications per completion ({completions:,} completions)",
    )


# -- the demonstration -------------------------------------------------------------------------------------


def check(server: Server, progress: Progress) -> None:
    """Drive one server with real clients and compare every byte."""
    progress.start("HTTP")
    progress.note("httpx at work")
    requests, compared = clients.check_http(server.http_port)
    refused = clients.check_malformed(server.http_port)
    progress.finish(
        f"httpx {httpx.__version__}: {requests} requests on one connection, "
        f"{compared:,} bytes equal; {refused} malformed requests refused as they must be",
    )
    progress.start("echo")
    progress.note(f"{CONNECTION_COUNT} connections at work")
    compared = clients.check_echo(server.echo_port, CONNECTION_COUNT, ECHO_SIZE_BYTES)
    progress.finish(f"{CONNECTION_COUNT} connections at once, {compared:,} random bytes there and back, all equal")


def demonstrate(provider: str | None, seconds: float, progress: Progress) -> None:
    """Run it all and print it.

    Raises:
      LoadError: something is not as it must be.
    """
    started = time.perf_counter()
    with (
        running_server("trio_rio", "trio_rio", *([provider] if provider else [])) as ours,
        running_server("stock Trio", "trio") as stock,
    ):
        counts = clients.fetch_statistics(ours.http_port)
        progress.line("provider", f"{counts['provider']}: {counts['provider_because']}")
        check(ours, progress)
        progress.start("speed")
        before = clients.fetch_statistics(ours.http_port)
        samples = measure((ours, stock), seconds, progress)
        after = clients.fetch_statistics(ours.http_port)
        progress.finish(f"echo of 64 bytes over {CONNECTION_COUNT} connections, measured in turn, every byte compared")
        show_speed((ours, stock), samples, progress)
        if provider is None and counts["provider"] == "portable":
            progress.line("queue", "none: sockets go Trio's own way where nobody asks for `portable`")
        else:
            show_queue(before, after, progress)
    progress.line("done", f"in {time.perf_counter() - started:.1f} s")


def main(provider: str | None, seconds: float) -> int:
    """The exit code of the demonstration.

    Args:
      provider: the provider's name, or ``None`` for the one that is chosen.
      seconds: how long to measure; the checks before it take about two seconds more.
    """
    progress = Progress()
    try:
        demonstrate(provider, seconds, progress)
    except KeyboardInterrupt:
        progress.finish("interrupted")
        return EXIT_INTERRUPTED
    except (LoadError, httpx.HTTPError, OSError) as error:
        progress.finish("FAILED")
        print(f"trio_rio demo: {error}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK
