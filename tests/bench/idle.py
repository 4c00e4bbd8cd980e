"""``python -m tests.bench idle``: what a server does while its connections do nothing.

Each connection is opened and proved with one echo, then left alone. Every time a thread of the server wakes
up, it goes to sleep again: its voluntary context switches are its wake-ups. A server that is well has none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .arguments import at_least, choose_opponents, environment, parser, write_json
from .machine import machine_facts
from .opponents import Opponent, ServerSettings
from .processes import LoadOptions, connected_generator, running_server
from .usage import cpu_source, usage
from .workloads import Shape

# After the last echo a server may still have work: let it come to rest before the count begins.
SETTLE_SECONDS = 1.0


def measure_idle(
    opponent: Opponent,
    connections: int,
    seconds: float,
    environment_added: Mapping[str, str],
    settle_seconds: float = SETTLE_SECONDS,
) -> dict[str, Any]:
    """Count a server's wake-ups and CPU time while its connections are open and idle.

    Args:
      opponent: whose server.
      connections: how many.
      seconds: how long to count.
      environment_added: to the server's environment.
      settle_seconds: how long to wait between the last echo and the count.

    Raises:
      BenchError: the server does not work.
    """
    options = LoadOptions("hold", Shape(connections, 64))
    with running_server(opponent, ServerSettings("echo", 64), environment=environment_added) as server:
        _, read_cpu_seconds = cpu_source(server.pid)
        with connected_generator(server.port, options):
            time.sleep(settle_seconds)
            before = usage(server.pid, read_cpu_seconds)
            time.sleep(seconds)
            used = usage(server.pid, read_cpu_seconds) - before
        server.check()
        return {
            "facts": dict(server.facts),
            "connections": connections,
            "seconds": seconds,
            "cpu_seconds": used.cpu_seconds,
            "voluntary_switches": used.voluntary_switches,
            "involuntary_switches": used.involuntary_switches,
        }


def main(arguments: list[str]) -> int:
    """Measure, print, and write JSON if asked to."""
    made = parser("idle", "Count the wake-ups of servers whose connections are idle.")
    made.add_argument("--opponents", nargs="+", metavar="NAME", help="who (default: all that can run here)")
    made.add_argument("--connections", type=at_least(1, int), default=1000)
    made.add_argument("--seconds", type=at_least(0.1, float), default=10.0)
    chosen = made.parse_args(arguments)
    opponents, left_out = choose_opponents(chosen.opponents)
    results = {}
    for opponent in opponents:
        result = measure_idle(opponent, chosen.connections, chosen.seconds, environment(chosen))
        results[opponent.name] = result
        print(
            f"{opponent.name}: {result['voluntary_switches']} wake-ups, {result['involuntary_switches']} involuntary "
            f"switches, {result['cpu_seconds'] * 1e3:.3f} ms CPU in {chosen.seconds:g} s, "
            f"{chosen.connections} connections",
            flush=True,
        )
    for name, reason in left_out.items():
        print(f"{name} was left out: {reason}")
    write_json(chosen.json, {"schema": 1, "machine": machine_facts(), "idle": results, "left_out": left_out})
    return 0
