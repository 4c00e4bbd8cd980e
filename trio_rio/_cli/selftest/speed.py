"""How fast it is here: RIO against Trio's own sockets, as ``python -m trio_rio bench`` measures it.

No check: what comes of it depends on the machine, and on what else it does meanwhile."""

from __future__ import annotations

from functools import partial

from ...rio.types import ProviderName
from ..bench.compare import HEADING, Servers, running_servers
from ..bench.workloads import WORKLOADS, Workload
from .report import Outcome, outcome_of

ROUNDS = 4
SAMPLE_SECONDS = 0.25
MEASURED = ("echo-1", "echo-100")


def measure_speed(provider: ProviderName) -> tuple[Outcome, ...]:
    """One outcome for each workload; what went wrong is told like a result."""
    outcomes: list[Outcome] = []

    def measure() -> None:
        with running_servers(provider) as servers:
            for name in MEASURED:
                claim = f"RIO against Trio's own sockets: {WORKLOADS[name].title}"
                function = partial(_compare, servers, WORKLOADS[name])
                outcomes.append(outcome_of(f"S{len(outcomes) + 1}", claim, "answered", function))

    failure = outcome_of("S", "RIO against Trio's own sockets", "answered", measure)
    return (failure,) if failure.result == "failed" else tuple(outcomes)


def _compare(servers: Servers, workload: Workload) -> str:
    _, *lines = servers.compare(workload, ROUNDS, SAMPLE_SECONDS, lambda _: None).lines()
    return "\n".join(line[2:] for line in (HEADING, *lines))
