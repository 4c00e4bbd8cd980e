"""``python -m tests.bench programs``: real programs on stock Trio and on trio_rio.

Facts. What a message costs says little of a program that does other things too: parses HTTP, encrypts, hands requests
from task to task. What people pay is the server's CPU time for one of their requests.

Decision. The servers are other people's, unchanged, and so are the clients where there are any. All variants of a
program are up at the same time; a round takes one sample of each in random order; each variant is compared with stock
Trio within the round. Server and client share one CPU, as in the lockstep discipline, unless a CPU for each is asked
for. The server's CPU time is read before the client is started and after it has ended.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from .arguments import at_least, choose, parser, plain, write_json
from .errors import BenchError
from .machine import machine_facts
from .opponents import ServerSettings
from .processes import Placement, Server, running_server
from .programs import PROGRAMS, VARIANTS, Program, Variant
from .programs.clients import Drive, Driven
from .report import compared, figures_text
from .rounds import placement_for
from .terminal import progress
from .usage import Usage, cpu_source, usage

SCHEMA = 1


@attrs.frozen
class Sample:
    """One variant in one round.

    Args:
      round: its number, from 0.
      position: its place in the order of that round, from 0.
      driven: what the client saw.
      used: by the server, all threads, in the same time.
    """

    round: int
    position: int
    driven: Driven
    used: Usage

    @property
    def cpu_us_per_request(self) -> float:
        """The server's CPU microseconds for each request."""
        return self.used.cpu_seconds * 1e6 / self.driven.requests


@attrs.define
class Measured:
    """One variant of one program: its samples, or why there are none any more."""

    facts: Mapping[str, Any] = attrs.field(factory=dict)
    samples: list[Sample] = attrs.field(factory=list)
    failure: str | None = None


@attrs.frozen
class Plan:
    """How to measure.

    Args:
      rounds: samples of each variant that count.
      seconds: how long a sample is, about.
      placement: of server and client.
      seed: of the order within rounds.
    """

    rounds: int
    seconds: float
    placement: Placement
    seed: int = 0


def _take(program: Program, server: Server, plan: Plan) -> tuple[Driven, Usage]:
    _, read_cpu_seconds = cpu_source(server.pid)
    told = Drive(server.port, program.connections, plan.seconds, plan.placement.generator_cpu)
    before = usage(server.pid, read_cpu_seconds)
    try:
        driven = program.client.drive(told)
    except BenchError:
        server.check()  # its own last words say more
        raise
    used = usage(server.pid, read_cpu_seconds) - before
    if not driven.requests:
        raise BenchError("a sample without a single request: give it more --seconds")
    return driven, used


def measure_program(
    program: Program, variants: Sequence[Variant], plan: Plan, tell: Callable[[str], None]
) -> dict[str, Measured]:
    """All variants of a program, alternately. One that fails is left out of the later rounds, and says why."""
    order = random.Random(f"{plan.seed} {program.name}")
    measured = {variant.name: Measured() for variant in variants}
    servers: dict[str, Server] = {}
    settings = ServerSettings("echo", 1)  # a program does what it does
    with contextlib.ExitStack() as stack:
        for variant in variants:
            try:
                running = running_server(program.opponent(variant), settings, plan.placement, variant.environment)
                servers[variant.name] = stack.enter_context(running)
                measured[variant.name].facts = servers[variant.name].facts
            except BenchError as error:
                measured[variant.name].failure = str(error)
        for number in range(-1, plan.rounds):
            tell(f"{program.name}: {'first samples' if number < 0 else f'round {number + 1} of {plan.rounds}'}")
            names = [name for name in servers if measured[name].failure is None]
            order.shuffle(names)
            for position, name in enumerate(names):
                try:
                    sample = Sample(number, position, *_take(program, servers[name], plan))
                except BenchError as error:
                    measured[name].failure = str(error)
                else:
                    if number >= 0:
                        measured[name].samples.append(sample)
    return measured


def program_entry(program: Program, measured: Mapping[str, Measured], baseline: str) -> dict[str, Any]:
    """One program as data for JSON; the fields are in docs/reference/benchmarks.md."""
    figures = {
        name: {sample.round: sample.cpu_us_per_request for sample in each.samples} for name, each in measured.items()
    }
    return {
        "program": program.name,
        "title": program.title,
        "client": program.client.name,
        "client_version": program.client.version(),
        "connections": program.connections,
        "unit": "request",
        "figure": "cpu_us_per_request",
        "lower_is_better": True,
        "baseline": baseline,
        "variants": {
            name: {
                "facts": dict(each.facts),
                "failure": each.failure,
                **compared(figures[name], None if name == baseline else figures.get(baseline), lower_is_better=True),
                "samples": [
                    {**attrs.asdict(sample), "cpu_us_per_request": sample.cpu_us_per_request} for sample in each.samples
                ],
            }
            for name, each in measured.items()
        },
    }


def program_text(entry: Mapping[str, Any]) -> str:
    """One program as a plain-text table, from the data of :func:`program_entry`."""
    baseline = entry["baseline"]
    heading = (
        f"{entry['title']}, {entry['connections']} connections of {entry['client']}\n"
        f"  server CPU us per request, less is better; gain: {baseline} divided by it within each round, more is better"
    )
    return figures_text(entry["variants"], baseline, heading)


def _parse(arguments: list[str]) -> argparse.Namespace:
    made = parser("programs", "Measure real programs on stock Trio and on trio_rio, alternately.", has_provider=False)
    made.add_argument("--programs", nargs="+", metavar="NAME", help=f"of {', '.join(PROGRAMS)} (default: all that can)")
    made.add_argument("--variants", nargs="+", metavar="NAME", help=f"of {', '.join(VARIANTS)} (default: all that can)")
    made.add_argument("--baseline", default="stock", metavar="NAME", help="the variant that gains refer to")
    made.add_argument("--rounds", type=at_least(1, int), default=5)
    made.add_argument("--seconds", type=at_least(0.01, float), default=1.0, help="a sample, about; wrk: whole seconds")
    made.add_argument("--apart", action="store_true", help="a CPU for each of server and client, not one for both")
    made.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of the order within rounds")
    return made.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Measure, print, and write JSON if asked to.

    Raises:
      BenchError: the options cannot be followed.
    """
    chosen = _parse(arguments)
    programs, programs_left_out = choose("program", PROGRAMS, chosen.programs)
    variants, variants_left_out = choose("variant", VARIANTS, chosen.variants)
    if chosen.baseline not in {variant.name for variant in variants}:
        raise BenchError(f"the baseline {chosen.baseline} is not among the variants")
    placement = placement_for("rate" if chosen.apart else "lockstep", "normal")
    plan = Plan(chosen.rounds, chosen.seconds, placement, chosen.seed)
    started_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    machine = machine_facts()
    entries = []
    for program in programs:
        entry = program_entry(program, measure_program(program, variants, plan, progress), chosen.baseline)
        progress("")
        print(program_text(entry), end="\n\n", flush=True)
        entries.append(entry)
    left_out = {**programs_left_out, **variants_left_out}
    for name, reason in left_out.items():
        print(f"{name} was left out: {reason}")
    result = {"schema": SCHEMA, "started_at": started_at, "arguments": plain(chosen), "machine": machine}
    write_json(chosen.json, {**result, "left_out": left_out, "programs": entries})
    return 1 if any(variant["failure"] for entry in entries for variant in entry["variants"].values()) else 0
