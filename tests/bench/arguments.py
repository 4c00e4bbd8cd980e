"""Command-line options that the commands share, and what they mean."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .errors import BenchError
from .opponents import Opponent, load_opponents
from .workloads import WORKLOADS, Shape, Workload

PROVIDER_VARIABLE = "TRIO_RIO_PROVIDER"


class CanBeMissing(Protocol):
    """Something that cannot run everywhere."""

    @property
    def missing(self) -> Callable[[], str | None]:
        """Says why it cannot run here, or ``None``."""


Choice = TypeVar("Choice", bound=CanBeMissing)


def at_least(low: float, kind: Callable[[str], float]) -> Callable[[str], Any]:
    """An argparse type: a number of at least ``low``."""

    def parse(text: str) -> float:
        value = kind(text)
        if not value >= low:
            raise argparse.ArgumentTypeError(f"{text} is less than {low}")
        return value

    parse.__name__ = kind.__name__  # argparse shows it for text that is no number
    return parse


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Says the default of each option that has one, once."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_said = action.default is None or "default" in (action.help or "")
        return action.help if has_said else super()._get_help_string(action)


def parser(command: str, description: str, *, has_provider: bool = True) -> argparse.ArgumentParser:
    """A parser with ``--json``, and with ``--provider`` where all servers of trio_rio have the same."""
    made = argparse.ArgumentParser(
        prog=f"python -m tests.bench {command}".rstrip(),
        description=description,
        formatter_class=_HelpFormatter,
    )
    if has_provider:
        made.add_argument("--provider", help=f"provider for trio_rio ({PROVIDER_VARIABLE} of the servers)")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the result there, too")
    return made


def environment(arguments: argparse.Namespace) -> dict[str, str]:
    """What the options add to the servers' environment."""
    return {PROVIDER_VARIABLE: arguments.provider} if arguments.provider else {}


def choose(kind: str, known: Mapping[str, Choice], names: Sequence[str] | None) -> tuple[list[Choice], dict[str, str]]:
    """What to run, and why others are left out.

    Args:
      kind: what they are called.
      known: all there are, by name.
      names: what was asked for; ``None`` for all that can run here.

    Raises:
      BenchError: an unknown name, or one that was asked for and cannot run.
    """
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise BenchError(f"unknown {kind} {', '.join(unknown)}; known: {', '.join(known)}")
    left_out = {}
    chosen = []
    for name, choice in known.items():
        if names is not None and name not in names:
            continue
        reason = choice.missing()
        if reason is None:
            chosen.append(choice)
        elif names is not None:
            raise BenchError(f"{kind} {name} cannot run here: {reason}")
        else:
            left_out[name] = reason
    return chosen, left_out


def choose_opponents(names: Sequence[str] | None) -> tuple[list[Opponent], dict[str, str]]:
    """The opponents to run, and why others are left out; as :func:`choose`."""
    return choose("opponent", load_opponents(), names)


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
