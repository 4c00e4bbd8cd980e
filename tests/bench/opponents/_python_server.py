"""What every server in Python shares: its command line and its first line of output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping

from ..workloads import WORKLOADS
from . import ServerSettings

# More than a burst of the load generator, at the 768 bytes that Linux charges for a small datagram.
DATAGRAM_BUFFER_BYTES = 4 * 1024 * 1024


def python_command(module: str) -> Callable[[ServerSettings], list[str]]:
    """A maker of command lines that run ``tests.bench.opponents.<module>`` with this interpreter."""

    def command(settings: ServerSettings) -> list[str]:
        return [
            sys.executable,
            "-m",
            f"tests.bench.opponents.{module}",
            settings.workload,
            str(settings.message_bytes),
        ]

    return command


def parse_settings() -> ServerSettings:
    """The settings on this process's command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=sorted(WORKLOADS))
    parser.add_argument("message_bytes", type=int)
    arguments = parser.parse_args()
    return ServerSettings(arguments.workload, arguments.message_bytes)


def announce(port: int, facts: Mapping[str, object]) -> None:
    """Tell the parent that the server serves."""
    print(json.dumps({"port": port, "facts": dict(facts)}), flush=True)


def bulk_message(message_bytes: int) -> bytes:
    """The message of bulk_send: the bytes ``i % 251``."""
    cycle = bytes(range(251))
    return (cycle * (message_bytes // len(cycle) + 1))[:message_bytes]
