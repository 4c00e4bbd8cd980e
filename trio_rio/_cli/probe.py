"""``python -m trio_rio probe``: which providers can serve here, and why."""

from __future__ import annotations

import argparse
import json

import attrs

import trio_rio

from ..rio import ProbeReport
from .exits import EXIT_FAILED, EXIT_OK, fail, needs
from .text import format_table, say


def yes_or_no(value: bool) -> str:
    """A boolean in a table."""
    return "yes" if value else "no"


def provider_rows(report: ProbeReport) -> list[tuple[str, ...]]:
    """One row for each provider, and a heading."""
    heading = ("provider", "available", "reason", "remedy")
    items = ((item.name, yes_or_no(item.is_available), item.reason, item.remedy) for item in report.providers)
    return [heading, *items]


def feature_rows(report: ProbeReport) -> list[tuple[str, ...]]:
    """One row for each feature of each provider, and a heading."""
    heading = ("feature", "available", "since", "used for")
    features = (feature for item in report.providers for feature in item.features)
    return [heading, *((one.name, yes_or_no(one.is_available), one.since, one.used_for) for one in features)]


def can_serve(report: ProbeReport) -> bool:
    """Whether the provider that a run would use can serve; only a forced one cannot."""
    return report.chosen in {item.name for item in report.providers if item.is_available}


def why_chosen(report: ProbeReport) -> str:
    """Why the provider was chosen, and that a run on it fails where it cannot serve."""
    because = f"because {report.chosen_because}"
    return because if can_serve(report) else f"{because}; it cannot serve here, and a run is refused"


def print_report(report: ProbeReport) -> None:
    """Plain text: a table of providers with the reason and remedy of each refusal under it, and one of features."""
    for line in format_table(row[:2] for row in provider_rows(report)):
        print(line)
    for item in report.providers:
        if not item.is_available:
            say()
            say(f"{item.name}: {item.reason}", 2)
            say(f"  remedy: {item.remedy}", 4)
    say()
    say(f"chosen: {report.chosen}, {why_chosen(report)}", 2)
    if len(feature_rows(report)) > 1:
        print()
        print(*format_table(feature_rows(report)), sep="\n")


def print_rich(report: ProbeReport) -> None:
    """Print the same in colour.

    Raises:
      ImportError: rich is not installed.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for heading, *rows in (provider_rows(report), feature_rows(report)):
        table = Table(*heading)
        for row in rows:
            table.add_row(*row, style="green" if row[1] == "yes" else "yellow")
        if rows:
            console.print(table)
    console.print(f"chosen: [bold]{report.chosen}[/], {why_chosen(report)}")


def probe(options: argparse.Namespace) -> int:
    """The ``probe`` command."""
    try:
        report = trio_rio.probe(options.provider)
    except ValueError as error:
        return fail(str(error))
    if options.json:
        print(json.dumps(attrs.asdict(report), indent=2))
    elif options.rich:
        try:
            print_rich(report)
        except ImportError:
            return fail(needs("--rich", "rich"))
    else:
        print_report(report)
    return EXIT_OK if can_serve(report) else EXIT_FAILED
