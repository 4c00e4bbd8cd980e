"""``python -m trio_rio demo``: real servers, real clients, every byte checked, and a fair comparison.

One Trio program serves HTTP/1.1 and a TCP echo. It runs twice at the same time in two processes: by
``trio_rio.run`` and by ``trio.run``. This process is the client of both.

Facts. Machines are noisy, and the noise drifts. Two measurements that follow each other drift together.

Decision. The two are measured in turn, round by round, the first of a round changing places with the second; what
is printed is the median of each and the median, least and greatest of the *ratios* within a round. The CPU time of
the server for a message stands beside the messages per second, because the latter has the client's own limit in it.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

import attrs
import httpx

from ..exits import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK
from ..progress import Progress
from . import clients

CONNECTION_COUNT = 100
ECHO_SIZE_BYTES = 256 * 1024
ROUND_COUNT = 6
STOP_TIMEOUT_SECONDS = 10


@attrs.define(eq=False)
class Server:
    """One server process and where it listens."""

    name: str
    process: subprocess.Popen[str]
    http_port: int
    echo_port: int


@attrs.frozen
class Sample:
    """One measurement of one server."""

    messages_per_second: float
    cpu_microseconds_per_message: float


# -- servers -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running_server(name: str, *arguments: str) -> Iterator[Server]:
    """A server process; it is gone when the block is left, in whatever manner.

    Raises:
      DemoError: it did not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "trio_rio._cli.demo.server", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for this process; the servers end with their standard input
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise clients.DemoError(f"the server on {name} did not start")
        ports = json.loads(line)
        yield Server(name, process, ports["http"], ports["echo"])
    finally:
        process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


# -- measurement -------------------------------------------------------------------------------------------


def measure(server: Server, load: clients.EchoLoad, duration_seconds: float) -> Sample:
    """Put the load on a server for that long."""
    cpu_before = clients.fetch_statistics(server.http_port)["cpu_seconds"]
    count, seconds = load.run(duration_seconds)
    cpu_seconds = clients.fetch_statistics(server.http_port)["cpu_seconds"] - cpu_before
    return Sample(count / seconds, cpu_seconds * 1e6 / count)


def measure_in_turn(
    servers: Sequence[Server],
    seconds: float,
    progress: Progress,
) -> list[list[Sample]]:
    """For each server its samples, one for each round.

    Args:
      servers: the first is compared with the second.
      seconds: for all rounds together; one more sample of each comes first and is thrown away.
    """
    duration_seconds = seconds / (len(servers) * (ROUND_COUNT + 1))
    samples: list[list[Sample]] = [[] for _ in servers]
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(clients.connections(s.echo_port, CONNECTION_COUNT)) for s in servers]
        loads = [clients.EchoLoad(sockets) for sockets in opened]
        for number in range(ROUND_COUNT + 1):
            order = range(len(servers)) if number % 2 else reversed(range(len(servers)))
            for index in order:
                progress.note(f"round {number} of {ROUND_COUNT}: {servers[index].name}" if number else "warming up")
                samples[index].append(measure(servers[index], loads[index], duration_seconds))
    return [list_[1:] for list_ in samples]


def spread(values: Sequence[float]) -> str:
    """Median, and least to greatest in brackets."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def show_speed(servers: Sequence[Server], samples: Sequence[Sequence[Sample]], progress: Progress) -> None:
    """Print the comparison."""
    for server, list_ in zip(servers, samples, strict=True):
        rate = statistics.median(sample.messages_per_second for sample in list_)
        cpu = statistics.median(sample.cpu_microseconds_per_message for sample in list_)
        progress.line("", f"{server.name:<10} {rate:>9,.0f} messages/s   {cpu:6.1f} us of server CPU per message")
    pairs = list(zip(*samples, strict=True))
    rates = spread([ours.messages_per_second / theirs.messages_per_second for ours, theirs in pairs])
    cpus = spread([ours.cpu_microseconds_per_message / theirs.cpu_microseconds_per_message for ours, theirs in pairs])
    progress.line(
        "", f"{'ratio':<10} {rates} messages/s, {cpus} CPU; median (least to greatest) of {len(pairs)} rounds"
    )


def show_queue(before: dict[str, float], after: dict[str, float], progress: Progress) -> None:
    """Print how the completion queue was used between two readings of the server's statistics."""
    counts = ("completions_dequeued", "dequeue_calls", "notifications_received")
    completions, dequeues, notifications = (after[name] - before[name] for name in counts)
    if not completions or not dequeues:
        raise clients.DemoError("no completion was dequeued: the traffic did not go through RIO")
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
      DemoError: something is not as it must be.
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
        samples = measure_in_turn((ours, stock), seconds, progress)
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
    except (clients.DemoError, httpx.HTTPError, OSError) as error:
        progress.finish("FAILED")
        print(f"trio_rio demo: {error}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK
