"""Trio's own test suite in the lane: on stock Trio, and on trio_rio, compared by the ids of the tests that pass."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..suites import compare
from . import machine, run

# pyright downloads node. The other one polls a handle that was closed a moment ago, which can kill the wineserver.
LEFT_OUT = "not pyright_verifytypes and not test_wait_on_invalid_object"
# The tools that Trio makes its sources with are no concern of Windows, and want packages that are not there.
NOT_COLLECTED = Path("Lib/site-packages/trio/_tests/tools")
SUITE_SECONDS = 400.0
# Fails on stock Trio nearly always, and passes now and then. It fills a stream, and then counts on a send that waits;
# but the sockets are those of the kernel below Wine, whose loopback goes on making room after the last send.
ALLOWED = {
    **compare.ALLOWED,
    "_tests.test_highlevel_socket::test_SocketStream_generic": "it needs buffers that stay full, as Wine's do not",
}
# A run in which fewer tests passed on stock Trio has gone wrong itself.
PASSED_MIN = 700


def run_once(prefix: Path, folder: Path, name: str, options: Sequence[str]) -> tuple[Path | None, list[str]]:
    """One run of the suite: its JUnit file if it came to an end, and what went wrong apart from failed tests."""
    exe = machine.python_exe()
    report, misuse, log = folder / f"{name}.xml", folder / f"{name}.misuse", folder / f"{name}.log"
    arguments = [
        *("-m", "pytest", "--pyargs", "trio", "-p", "trio._tests.pytest_plugin", "-p", "no:cacheprovider", "-v"),
        f"--ignore={machine.windows_path(exe.parent / NOT_COLLECTED)}",
        *("-k", LEFT_OUT, "--tb=short", "-o", "faulthandler_timeout=100", "-o", "junit_family=xunit1"),
        *(f"--junit-xml={machine.windows_path(report)}", *options),
    ]
    # Not in the checkout, whose configuration of pytest is another.
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    everything = run.python_environment(misuse)
    run.run_exe(prefix, exe, arguments, everything, SUITE_SECONDS, cwd=empty, log=log, is_shown=False)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    summary = [line.strip("= ") for line in lines if re.search(r" in \d+\.\d+s", line)]
    print(f"{name:<14} {summary[-1] if summary else 'it came to no end'}", flush=True)
    problems = [f"{name}: {line}" for line in run.misuse_reports(misuse)]
    if report.exists():
        return report, problems
    print("\n".join(lines[-60:]), flush=True)
    tests = [line for line in lines if "::" in line]
    return None, [*problems, f"{name}: it came to no end in {tests[-1] if tests else 'no test'}"]


def run_suite(providers: Sequence[str]) -> list[str]:
    """What is against it that all that passes on stock Trio passes on each provider, and that nothing was misused."""
    with machine.prefix() as prefix:
        folder = prefix / "trio-suite"
        folder.mkdir()
        stock, problems = run_once(prefix, folder, "stock", [])
        if stock is None:
            return problems
        passed = len(compare.passed(compare.outcomes(stock)))
        if passed < PASSED_MIN:
            return [f"stock: only {passed} tests passed"]
        reports: list[Path] = []
        for provider in providers:
            options = ["-p", "trio_rio.pytest_plugin", f"--rio-provider={provider}"]
            report, found = run_once(prefix, folder, provider, options)
            problems += found
            if report is not None:
                reports.append(report)
        return problems + compare.compare(stock, reports, ALLOWED)
