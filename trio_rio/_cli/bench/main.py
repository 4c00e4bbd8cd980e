"""The command: measure, show progress, print the table, write the files that were asked for."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import trio

import trio_rio

from ..exits import EXIT_FAILED, EXIT_OK, fail
from ..load import LoadError
from ..progress import Progress
from ..text import say
from . import plot
from .compare import HEADING, Result, running_servers, sample_seconds
from .workloads import WORKLOADS


def bench(options: argparse.Namespace) -> int:
    """The ``bench`` command."""
    problem = _problem_of_file(options.json) or _problem_of_file(options.plot)
    if problem is None and options.plot is not None:
        problem = plot.problem(options.plot)
    if problem is not None:
        return fail(problem)
    progress = Progress()
    try:
        report, results = measure(options, progress)
        if options.json is not None:
            Path(options.json).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if options.plot is not None:
            plot.draw(results, _title(report), options.plot)
    except KeyboardInterrupt:
        progress.finish("interrupted")
        raise
    except (LoadError, ConnectionError, TimeoutError) as error:
        progress.finish("FAILED")
        print(f"trio_rio bench: {error}", file=sys.stderr)
        return EXIT_FAILED
    return EXIT_OK


def measure(options: argparse.Namespace, progress: Progress) -> tuple[dict[str, Any], list[Result]]:
    """Measure and print; the report for JSON, and the results.

    Raises:
      LoadError: a server did not do what it must.
    """
    started = time.perf_counter()
    workloads = [WORKLOADS[name] for name in options.workload or WORKLOADS]
    duration_seconds = sample_seconds(options.seconds, workloads, options.rounds)
    results = []
    with running_servers(options.provider) as servers:
        provider, because = servers.provider
        report = {**_machine(), "provider": provider, "provider_because": because, "rounds": options.rounds}
        report["sample_seconds"] = duration_seconds
        say(_title(report))
        say(f"provider {provider}: {because}", 2)
        if provider == "portable" and options.provider is None:
            say("note: sockets go Trio's own way where nobody asks for portable; both sides do the same", 2)
        say(
            f"{options.rounds} rounds, A B B A, samples of {duration_seconds:.2f} s; ratio: median (least to greatest)",
            2,
        )
        say()
        print(HEADING)
        for workload in workloads:
            if progress.is_terminal:
                progress.start(workload.name)
            result = servers.compare(workload, options.rounds, duration_seconds, progress.note)
            progress.erase()
            print(*result.lines(), sep="\n", flush=True)
            results.append(result)
    say()
    say(f"done in {time.perf_counter() - started:.1f} s")
    return {**report, "workloads": [result.as_dict() for result in results]}, results


def _machine() -> dict[str, Any]:
    return {
        "trio_rio": trio_rio.__version__,
        "trio": trio.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
    }


def _title(report: dict[str, Any]) -> str:
    return (
        f"trio_rio {report['trio_rio']} beside Trio {report['trio']}, Python {report['python']}, {report['cpus']} CPUs"
    )


def _problem_of_file(name: str | None) -> str | None:
    """Why a file cannot be written, found out before anything is measured."""
    if name is None:
        return None
    folder = Path(name).resolve().parent
    if not folder.is_dir():
        return f"can't write {name!r}: there is no folder {str(folder)!r}"
    if Path(name).is_dir():
        return f"can't write {name!r}: it is a folder"
    return None
