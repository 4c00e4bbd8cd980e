"""``python -m tests.windows COMMAND``: the Windows lane. See docs/maintainers/windows-lane.md.

all [--full]                    the whole lane: the table, the project's tests in each set-up, and Trio's suite;
                                with --full every test runs in every set-up
python ARGUMENTS...             run Windows Python with these arguments
tests [NAME=VALUE...] [FILE...] run tests of the project (default: all that can run there); NAME=VALUE goes into
                                the environment, where NAME is a knob of the table or a variable:
                                DELAY_MILLISECONDS=5 TRIO_RIO_PROVIDER=portable
trio [PROVIDER...]              Trio's own suite, on stock Trio and on each provider (default: winsock)
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import machine, plan, run, trio_suite

# The exit code of a run that went well but for a report of misuse.
MISUSED = 3
TIMEOUT_VARIABLE = "TRIO_RIO_LANE_TIMEOUT_SECONDS"


def python(arguments: list[str]) -> int:
    """Run Windows Python in the folder where this was started."""
    timeout_seconds = float(os.environ.get(TIMEOUT_VARIABLE, "570"))
    exe = machine.python_exe()
    with machine.prefix() as prefix:
        misuse = prefix / "misuse.txt"
        environment = run.python_environment(misuse)
        code = run.run_exe(prefix, exe, arguments, environment, timeout_seconds, cwd=Path.cwd())
        if misuse.exists():
            print(misuse.read_text(encoding="utf-8", errors="replace"), end="")
            code = code or MISUSED
    return code


def judged(problems: list[str]) -> int:
    """Say last what went wrong, where the end of a long log shows it; the exit code."""
    if problems:
        print("\nwhat went wrong:")
        for problem in problems:
            print(f"FAILED {problem}", flush=True)
    return 1 if problems else 0


def tests(arguments: list[str]) -> int:
    """Run test files in one set-up."""
    setting = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    files = [argument for argument in arguments if "=" not in argument]
    return judged(plan.run_setups([plan.Setup("as asked", setting, tuple(files))]))


def trio(arguments: list[str]) -> int:
    """Run Trio's own suite."""
    return judged(trio_suite.run_suite(arguments or ["winsock"]))


def everything(arguments: list[str]) -> int:
    """Run the whole lane."""
    if arguments not in ([], ["--full"]):
        print(__doc__)
        return 2
    problems = plan.run_setups([plan.TABLE])
    if not problems:
        with ThreadPoolExecutor() as pool:
            own = pool.submit(plan.run_setups, plan.setups(is_full=bool(arguments)))
            theirs = pool.submit(trio_suite.run_suite, ["winsock"])
        problems = own.result() + theirs.result()
    return judged(problems)


COMMANDS = {"all": everything, "python": python, "tests": tests, "trio": trio}


def main(arguments: list[str]) -> int:
    """Run what is asked for; the exit code is that of the program, or 2 when the lane cannot be built."""
    if not arguments or arguments[0] not in COMMANDS:
        print(__doc__)
        return 2
    problem = machine.missing()
    if problem is not None:
        print(f"the Windows lane cannot run: {problem}", file=sys.stderr)
        return 2
    machine.end_on_signals()
    try:
        return COMMANDS[arguments[0]](arguments[1:])
    except machine.LaneError as error:
        print(f"the Windows lane cannot run: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
