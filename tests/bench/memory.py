"""``python -m tests.bench memory``: what an open connection costs a server in memory.

Facts. A server's first connections load code and fill the interpreter's caches; memory that is freed stays with the
process. The resident set counts what is in use and nothing that is merely reserved; its growth is the process's own,
since shared pages were there before.

Some servers make late what a connection needs when it stays.

Consequence. Connections are counted on top of others that are open already, and on a server that had no more before;
after one message each, and after several.

Decision. A fresh server in each round. Some connections first, each proved by its messages, then as many as are asked
for, each proved likewise; what the resident set grew by, divided by their number. What the kernel keeps for a socket
is the same for all, and is not in it.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .arguments import at_least, choose_opponents, environment, parser, plain, write_json
from .errors import BenchError
from .machine import machine_facts
from .opponents import Opponent, ServerSettings
from .processes import LoadOptions, connected_generator, running_server
from .report import compared, figures_text
from .workloads import Shape

FIRST_CONNECTIONS = 100
MESSAGE_BYTES = 64
# For what is open besides connections: standard streams, epoll, ring, listener, files of the interpreter.
SPARE_FILES = 64
# After the last echo a server may still have work: let it come to rest.
SETTLE_SECONDS = 0.5


def check_descriptors(connections: int) -> None:
    """Refuse more connections than a process may open files.

    Raises:
      BenchError: the hard limit is too low.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = connections + FIRST_CONNECTIONS + SPARE_FILES
    if hard != resource.RLIM_INFINITY and hard < needed:
        fitting = max(1, hard - FIRST_CONNECTIONS - SPARE_FILES)
        raise BenchError(
            f"{connections} connections need {needed} open files in a process, and the hard limit is {hard}. "
            f"Remedy: raise it (as root: ulimit -n {needed}), or take --connections {fitting}"
        )


def parse_resident_bytes(text: str) -> int:
    """The resident set in the text of /proc/PID/smaps_rollup or /proc/PID/status.

    Raises:
      BenchError: it is not there.
    """
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in ("Rss", "VmRSS"):
            return int(value.split()[0]) * 1024
    raise BenchError("the kernel does not tell the resident set of a process")


def resident_bytes(pid: int) -> int:
    """The resident set of a process now."""
    folder = Path(f"/proc/{pid}")
    try:
        # It counts the pages; "status" sums up counters that the threads bring up to date now and then.
        return parse_resident_bytes((folder / "smaps_rollup").read_text())
    except OSError:
        return parse_resident_bytes((folder / "status").read_text())


def measure_memory(
    opponent: Opponent,
    connections: int,
    environment_added: Mapping[str, str],
    settle_seconds: float = SETTLE_SECONDS,
    *,
    exchanges: int = 1,
) -> dict[str, Any]:
    """Resident bytes of a fresh server for each open connection that has carried its messages.

    Args:
      opponent: whose server.
      connections: how many, on top of the first ones.
      environment_added: to the server's environment.
      settle_seconds: how long to wait before each look.
      exchanges: messages on each connection, each with its answer.

    Raises:
      BenchError: the server does not work.
    """
    first = LoadOptions("hold", Shape(FIRST_CONNECTIONS, MESSAGE_BYTES), exchanges=exchanges)
    more = LoadOptions("hold", Shape(connections, MESSAGE_BYTES), exchanges=exchanges)
    with running_server(opponent, ServerSettings("echo", MESSAGE_BYTES), environment=environment_added) as server:
        with connected_generator(server.port, first):
            time.sleep(settle_seconds)
            before = resident_bytes(server.pid)
            with connected_generator(server.port, more):
                time.sleep(settle_seconds)
                after = resident_bytes(server.pid)
        server.check()
        return {
            "facts": dict(server.facts),
            "resident_bytes_before": before,
            "resident_bytes_after": after,
            "bytes_per_connection": (after - before) / connections,
        }


def measure_rounds(
    opponents: Sequence[Opponent], chosen: argparse.Namespace
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Each opponent once in each round, in random order: the samples, and why some failed."""
    order = random.Random(chosen.seed)
    added = environment(chosen)
    samples: dict[str, list[dict[str, Any]]] = {opponent.name: [] for opponent in opponents}
    failures: dict[str, str] = {}
    for number in range(chosen.rounds):
        for opponent in order.sample(list(opponents), len(opponents)):
            if opponent.name in failures:
                continue
            try:
                sample = measure_memory(opponent, chosen.connections, added, exchanges=chosen.exchanges)
            except BenchError as error:
                failures[opponent.name] = str(error)
            else:
                samples[opponent.name].append({"round": number, **sample})
    return samples, failures


def memory_entries(
    samples: Mapping[str, Sequence[Mapping[str, Any]]], failures: Mapping[str, str], baseline: str
) -> dict[str, dict[str, Any]]:
    """The samples as data for JSON, each opponent beside the baseline."""
    by_round = {name: {each["round"]: each["bytes_per_connection"] for each in own} for name, own in samples.items()}
    return {
        name: {
            "failure": failures.get(name),
            **compared(by_round[name], None if name == baseline else by_round[baseline], lower_is_better=True),
            "samples": list(own),
        }
        for name, own in samples.items()
    }


def main(arguments: list[str]) -> int:
    """Measure, print, and write JSON if asked to."""
    made = parser("memory", "Measure the memory of servers for each open connection.")
    made.add_argument("--opponents", nargs="+", metavar="NAME", help="who (default: all that can run here)")
    made.add_argument("--baseline", default="trio", metavar="NAME", help="the opponent that ratios refer to")
    made.add_argument("--connections", type=at_least(1, int), default=10_000)
    made.add_argument("--exchanges", type=at_least(1, int), default=1, help="on each of them, before it is idle")
    made.add_argument("--rounds", type=at_least(1, int), default=3)
    made.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of the order within rounds")
    chosen = made.parse_args(arguments)
    chosen_opponents, left_out = choose_opponents(chosen.opponents)
    opponents = [opponent for opponent in chosen_opponents if "echo" in opponent.workloads]
    if chosen.baseline not in {opponent.name for opponent in opponents}:
        raise BenchError(f"the baseline {chosen.baseline} is not among the opponents that have the workload echo")
    check_descriptors(chosen.connections)
    machine = machine_facts()
    samples, failures = measure_rounds(opponents, chosen)
    entries = memory_entries(samples, failures, chosen.baseline)
    heading = (
        f"memory, {chosen.connections} connections, idle after {chosen.exchanges} of {MESSAGE_BYTES} B\n"
        f"  resident bytes per connection, less is better; gain: {chosen.baseline}'s divided by it, within each round"
    )
    print(figures_text(entries, chosen.baseline, heading))
    for name, reason in left_out.items():
        print(f"{name} was left out: {reason}")
    result = {"schema": 1, "arguments": plain(chosen), "machine": machine, "memory": entries, "left_out": left_out}
    write_json(chosen.json, result)
    return 1 if failures else 0
