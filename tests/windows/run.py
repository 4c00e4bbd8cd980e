"""Run a program of Windows in the lane, with its output copied through and an end to it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from . import machine

TIMED_OUT = 124
# Shown of one run: what comes later mostly follows from the first.
MISUSE_REPORTS_MAX = 20


def copy_through(source: IO[bytes], *targets: IO[bytes]) -> None:
    """Copy what a program says, line by line."""
    for line in source:
        for target in targets:
            target.write(line)
            target.flush()


def run_exe(
    prefix: Path,
    exe: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    timeout_seconds: float,
    *,
    cwd: Path | None = None,
    log: Path | None = None,
    is_shown: bool = True,
) -> int:
    """Run ``exe`` under Wine; its exit code, or :data:`TIMED_OUT`, and then all of the prefix is killed.

    Windows programs here need pipes: CPython refuses to start on a regular file (WinError 6). ``log`` gets a copy
    of the output; unless ``is_shown``, it is the only one.
    """
    everything = {**machine.wine_environment(prefix), **environment}
    process = subprocess.Popen(
        ["wine", str(exe), *arguments],
        env=everything,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    with open(log, "ab") if log is not None else open("/dev/null", "ab") as file:
        targets = (sys.stdout.buffer, file) if is_shown else (file,)
        reader = threading.Thread(target=copy_through, args=(process.stdout, *targets), daemon=True)
        reader.start()
        try:
            code = process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            print(f"\nthe lane: no end of {' '.join(arguments[:8])} after {timeout_seconds:g} s, killed", flush=True)
            subprocess.run(["wineserver", "-k9"], env=everything, check=False, stdin=subprocess.DEVNULL)
            process.kill()
            process.wait()
            code = TIMED_OUT
        # A program that was left behind may hold the pipe open; it does not hold the lane up.
        reader.join(5)
        if not reader.is_alive():
            process.stdout.close()
    return code


def python_environment(misuse: Path) -> dict[str, str]:
    """What CPython of the lane needs: RIO, the checkout as its package, and nothing written into the checkout.

    Misuse of RIO is reported to the file ``misuse``.
    """
    return {
        "TRIO_RIO_LANE_DLL": machine.windows_path(machine.table_dll()),
        "TRIO_RIO_LANE_MISUSE": machine.windows_path(misuse),
        "PYTHONPATH": machine.windows_path(machine.ROOT),
        "PYTHONPYCACHEPREFIX": machine.windows_path(machine.cache() / "pycache"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }


def misuse_reports(misuse: Path) -> list[str]:
    """The first reports of misuse in the file of :func:`python_environment`; none when nothing was misused."""
    if not misuse.exists():
        return []
    return misuse.read_text(encoding="utf-8", errors="replace").splitlines()[:MISUSE_REPORTS_MAX]
