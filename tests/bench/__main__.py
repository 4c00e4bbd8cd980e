"""``python -m tests.bench``: the command line. See docs/maintainers/benchmarks.md."""

from __future__ import annotations

import sys
from collections.abc import Callable

from . import compare, compare_programs, floor, idle, memory, page, syscalls
from .errors import BenchError


def main(arguments: list[str]) -> int:
    """Run what is asked for; returns the exit code: 0, 1 when an opponent failed, 2 when nothing can be run."""
    commands: dict[str, Callable[[list[str]], int]] = {
        "compare": compare.main,
        "programs": compare_programs.main,
        "syscalls": syscalls.main,
        "idle": idle.main,
        "memory": memory.main,
        "floor": floor.main,
        "page": page.main,
    }
    name, rest = ("compare", arguments)
    if arguments and arguments[0] in commands:
        name, rest = arguments[0], arguments[1:]
    try:
        return commands[name](rest)
    except BenchError as error:
        print(f"tests.bench {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
