"""Command-line options that the commands share, and what they mean."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import BenchError
from .opponents import Opponent, load_opponents
from .workloads import WORKLOADS, Shape, Workload

PROVIDER_VARIABLE = "TRIO_RIO_PROVIDER"


def at_least(low: float, kind: Callable[[str], float]) -> Callable[[str], Any]:
    """An argparse type: a number of at least ``low``."""

    def parse(text: str) -> float:
        value = kind(text)
        if not value >= low:
            raise argparse.ArgumentTypeError(f"{text} is less than {low}")
        return value

    parse.__name__ = kind.__name__  # argparse shows it for text that is no number
    return parse


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """A parser with ``--provider`` and ``--json``, which every command has."""
    made = argparse.ArgumentParser(
        prog=f"python -m tests.bench {command}".rstrip(),
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--provider", help=f"provider for trio_rio ({PROVIDER_VARIABLE} of the servers)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    return made


def environment(arguments: argparse.Namespace) -> dict[str, str]:
    """What the options add to the servers' environment."""
    return {PROVIDER_VARIABLE: arguments.provider} if arguments.provider else {}


def choose_opponents(names: Sequence[str] | None) -> tuple[list[Opponent], dict[str, str]]:
    """The opponents to run, and why others are left out.

    Args:
      names: what was asked for; ``None`` for all that can run here.

    Raises:
      BenchError: an unknown name, or one that was asked for and cannot run.
    """
    known = load_opponents()
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise BenchError(f"unknown opponent {', '.join(unknown)}; known: {', '.join(known)}")
    left_out = {}
    chosen = []
    for opponent in known.values():
        if names is not None and opponent.name not in names:
            continue
        reason = opponent.missing()
        if reason is None:
            chosen.append(opponent)
        elif names is not None:
            raise BenchError(f"opponent {opponent.name} cannot run here: {reason}")
        else:
            left_out[opponent.name] = reason
    return chosen, left_out


def choose_workloads(names: Sequence[str] | None) -> list[Workload]:
    """The workloads that were asked for; ``None`` for all.

    Raises:
      BenchError: an unknown name.
    """
    unknown = sorted(set(names or ()) - set(WORKLOADS))
    if unknown:
        raise BenchError(f"unknown workload {', '.join(unknown)}; known: {', '.join(WORKLOADS)}")
    return [workload for workload in WORKLOADS.values() if names is None or workload.name in names]


def shapes_of(workload: Workload, arguments: argparse.Namespace) -> list[Shape]:
    """The shapes to measure: the workload's own, or every combination of what was asked for.

    What was not asked for is as in the workload's first shape.
    """
    asked = (arguments.connections, arguments.message_bytes, arguments.pipeline)
    own = workload.quick_shapes if arguments.quick else workload.shapes
    if asked == (None, None, None):
        return list(own)
    first = (own[0].connections, own[0].message_bytes, own[0].pipeline)
    values = [given or [default] for given, default in zip(asked, first, strict=True)]
    return [Shape(*combination) for combination in itertools.product(*values)]


def plain(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options as data for JSON."""
    return {name: str(value) if isinstance(value, Path) else value for name, value in vars(arguments).items()}


def write_json(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write a result, if a file was named.

    Raises:
      BenchError: it cannot be written.
    """
    if path is not None:
        try:
            path.write_text(json.dumps(result, indent=1) + "\n")
        except OSError as error:
            raise BenchError(f"cannot write the result: {error}") from error
