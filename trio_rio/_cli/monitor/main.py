"""The command: connect, and show, or print what the program says."""

from __future__ import annotations

import argparse
import json
import sys
import time

from ..exits import EXIT_OK, fail, needs
from .client import Ended, MonitorError, Watched, watched


def monitor(options: argparse.Namespace) -> int:
    """The ``monitor`` command."""
    try:
        with watched(options.target) as program:
            if options.dump:
                answer = program.ask("dump")
                if "error" in answer:
                    return fail(answer["error"])
                print(answer["text"], end="")
            elif options.json:
                print_json(program, options.interval, options.count)
            else:
                try:
                    from .view import show
                except ImportError:
                    return fail(f"{needs('monitor', 'rich')}, or use --json")
                show(program, options.interval, options.count)
    except Ended as end:
        print(f"trio_rio: {end}", file=sys.stderr)
    except MonitorError as error:
        return fail(str(error))
    return EXIT_OK


def print_json(program: Watched, interval_seconds: float, count: int | None) -> None:
    """Print each answer as a line of JSON.

    Raises:
      MonitorError: the program has ended, or does not answer.
    """
    number = 0
    while count is None or number < count:
        if number:
            time.sleep(interval_seconds)
        print(json.dumps(program.ask("statistics")), flush=True)
        number += 1
