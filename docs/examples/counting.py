"""What the UDP servers of this family share: their options, the counting, and what they print.

Each server counts datagrams of one size until one of another size comes, which ends it, as does Ctrl-C.
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import trio

import trio_rio

RECEIVE_BUFFER_BYTES = 4 << 20


def within(low: int, high: int) -> Callable[[str], int]:
    """For argparse: an integer with bounds."""

    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not within {low} .. {high}")
        return value

    return convert


def microseconds(text: str) -> float:
    """For argparse: a time in microseconds, as seconds."""
    return within(1, 10_000_000)(text) / 1e6


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all servers have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to receive at (default: %(default)s)")
    parser.add_argument("--port", type=within(0, 65535), default=8080, help="0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--size", type=within(1, 65506), default=1024, metavar="BYTES",
        help="of the datagrams that count; one of another size is the end (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--work", type=within(0, 1_000_000), default=0, metavar="LOOPS",
        help="turns of an empty loop for each datagram (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--provider", help="uring, portable, winsock (default: the first that works)")
    return parser


@attrs.define
class Count:
    """How many datagrams came, and between when and when."""

    size_bytes: int
    work_loops: int
    datagrams: int = 0
    first: float = 0.0
    last: float = 0.0

    def take(self, length: int) -> bool:
        """Count a datagram; whether it was not the end."""
        if length != self.size_bytes:
            return False
        self.last = time.perf_counter()
        self.first = self.first or self.last
        self.datagrams += 1
        for _ in range(self.work_loops):
            pass
        return True

    @property
    def per_second(self) -> float:
        """Datagrams per second, from the first to the last."""
        return (self.datagrams - 1) / (self.last - self.first) if self.last > self.first else 0.0


def report(count: Count, results: float, dequeues: int, notifications: int) -> None:
    """Print what the originals print."""
    print(f"datagrams:            {count.datagrams}")
    print(f"datagrams per second: {count.per_second:.0f}")
    print(f"results per dequeue:  {results:.1f}")
    print(f"dequeues:             {dequeues}")
    print(f"notifications:        {notifications}", flush=True)


def family_of(host: str) -> socket.AddressFamily:
    """The address family of a numeric address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def open_socket(host: str, port: int) -> trio.socket.SocketType:
    """A UDP socket with as large a receive buffer as the system allows.

    The run makes it, since RIO on Windows serves no socket that was made elsewhere.
    """
    sock = trio.socket.socket(family_of(host), trio.socket.SOCK_DGRAM)
    try:
        sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        await sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def count_datagrams(options: argparse.Namespace) -> None:
    """The server: receive until the end. How completions are collected is the run's affair."""
    count = Count(options.size, options.work)
    with await open_socket(options.host, options.port) as sock:
        numbers = trio_rio.current_statistics()
        host, port = sock.getsockname()[:2]
        try:
            print(f"listening on {host}:{port}, provider {numbers.provider}, {numbers.notification}", flush=True)
            while count.take(len(await sock.recv(options.size + 1))):
                pass
        finally:
            numbers = trio_rio.current_statistics()
            report(count, numbers.results_per_dequeue_mean, numbers.dequeue_calls, numbers.notifications_received)


def run_server(options: argparse.Namespace, **how: Any) -> int:
    """Run :func:`count_datagrams` with a way of collecting; the exit code."""
    # Many receives stay posted, as in the originals: what comes between two dequeues comes out of one.
    return exit_code(
        lambda: trio_rio.run(
            count_datagrams,
            options,
            config=trio_rio.RioConfig(provider=options.provider, read_ahead=options.receives, **how),
        )
    )


def add_receives(parser: argparse.ArgumentParser) -> None:
    """The option for servers that keep receives posted."""
    parser.add_argument(
        "--receives", type=within(1, 64), default=64, help="kept posted on the socket (default: %(default)s)"
    )


def exit_code(program: Callable[[], object]) -> int:
    """Run a program; what the user can mend is one line on stderr, and Ctrl-C is no error."""
    try:
        program()
    except BaseException as error:
        errors = list(leaves(error))
        if any(isinstance(one, KeyboardInterrupt) for one in errors):
            return 130
        if not all(isinstance(one, (trio_rio.RioError, OSError, ValueError)) for one in errors):
            raise
        print(f"{sys.argv[0]}: {errors[0]}", file=sys.stderr)
        return 1
    return 0


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group of them, such as a nursery raises; or the one."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from leaves(one)
    else:
        yield error
