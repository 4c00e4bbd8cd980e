"""``python -m tests.bench [compare]``: opponents against a baseline."""

from __future__ import annotations

import argparse
import datetime as dt
import time
from typing import Any

from . import report
from .arguments import (
    at_least,
    choose_opponents,
    choose_workloads,
    environment,
    parser,
    plain,
    shapes_of,
    write_json,
)
from .errors import BenchError
from .machine import machine_facts
from .opponents import Opponent
from .rounds import SCHEDULINGS, Cell, Plan, measure_cell, placement_for
from .terminal import progress
from .workloads import DISCIPLINES

QUICK_ROUNDS = 3
QUICK_SECONDS = 0.2


def _parse(arguments: list[str]) -> argparse.Namespace:
    made = parser("", "Measure opponents alternately and compare them with a baseline, round by round.")
    made.epilog = "Others, each with --help: python -m tests.bench idle, floor, memory, page, programs, syscalls"
    positive = at_least(1, int)
    made.add_argument("--opponents", nargs="+", metavar="NAME", help="who (default: all that can run here)")
    made.add_argument("--baseline", default="trio", metavar="NAME", help="the opponent that ratios refer to")
    made.add_argument("--workloads", nargs="+", metavar="NAME", help="what (default: all)")
    made.add_argument("--connections", nargs="+", type=positive, metavar="N", help="TCP connections or UDP peers")
    made.add_argument("--message-bytes", nargs="+", type=positive, metavar="N")
    made.add_argument("--pipeline", nargs="+", type=positive, metavar="N", help="messages at once per connection")
    made.add_argument(
        "--discipline", choices=DISCIPLINES, default="lockstep", help="one CPU for both processes, or one for each"
    )
    made.add_argument("--scheduling", choices=SCHEDULINGS, default="normal", help="of the server under lockstep")
    made.add_argument("--rounds", type=positive, help=f"(default: 7, with --quick {QUICK_ROUNDS})")
    made.add_argument("--seconds", type=at_least(0.01, float), help=f"a sample (default: 0.5, quick {QUICK_SECONDS})")
    made.add_argument(
        "--messages-per-second", type=at_least(0, float), default=0.0, help="pace of udp_receive under rate; 0: full"
    )
    made.add_argument(
        "--attempts", type=positive, default=5, metavar="N", help="samples in a round, under rate, until one is clean"
    )
    made.add_argument("--keep-disturbed", action="store_true", help="count samples under rate that others disturbed")
    made.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000, help="of the order within rounds")
    made.add_argument("--quick", action="store_true", help="a first look: fewer shapes, rounds and seconds")
    chosen = made.parse_args(arguments)
    chosen.rounds = chosen.rounds or (QUICK_ROUNDS if chosen.quick else 7)
    chosen.seconds = chosen.seconds or (QUICK_SECONDS if chosen.quick else 0.5)
    return chosen


def _measure(cells: list[Cell], opponents: list[Opponent], plan: Plan, baseline: str) -> list[dict[str, Any]]:
    entries = []
    for cell in cells:
        able = [opponent for opponent in opponents if cell.workload in opponent.workloads]
        entry = report.cell_entry(cell, measure_cell(cell, able, plan, progress), baseline)
        progress("")
        print(report.cell_text(entry, str(cell)), end="\n\n", flush=True)
        entries.append(entry)
    return entries


def _print_facts(entries: list[dict[str, Any]], left_out: dict[str, str]) -> None:
    facts = {name: opponent["facts"] for entry in entries for name, opponent in entry["opponents"].items()}
    for name, told in facts.items():
        if told:
            print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in told.items()))
    for name, reason in left_out.items():
        print(f"{name} was left out: {reason}")


def main(arguments: list[str]) -> int:
    """Measure, print, and write JSON if asked to.

    Raises:
      BenchError: the options cannot be followed.
    """
    chosen = _parse(arguments)
    opponents, left_out = choose_opponents(chosen.opponents)
    if chosen.baseline not in {opponent.name for opponent in opponents}:
        raise BenchError(f"the baseline {chosen.baseline} is not among the opponents")
    placement_for(chosen.discipline, chosen.scheduling)
    cells = [
        Cell(workload.name, shape, chosen.discipline)
        for workload in choose_workloads(chosen.workloads)
        for shape in shapes_of(workload, chosen)
    ]
    plan = Plan(
        rounds=chosen.rounds,
        seconds=chosen.seconds,
        scheduling=chosen.scheduling,
        seed=chosen.seed,
        environment=environment(chosen),
        messages_per_second=chosen.messages_per_second,
        attempts=chosen.attempts,
        keeps_disturbed=chosen.keep_disturbed,
    )
    started_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    machine = machine_facts()
    entries = _measure(cells, opponents, plan, chosen.baseline)
    _print_facts(entries, left_out)
    result = report.document(
        arguments=plain(chosen), machine=machine, started_at=started_at, cells=entries, left_out=left_out
    )
    write_json(chosen.json, result)
    failed = any(opponent["failure"] for entry in entries for opponent in entry["opponents"].values())
    return 1 if failed else 0
