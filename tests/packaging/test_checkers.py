"""What type checkers find in a program that runs on trio_rio: what they find in one that runs on Trio."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import mypy.api
import pytest

ROOT = Path(__file__).resolve().parents[2]

# A checker must complain of each line that says so, and of no other.
PROGRAM = """
from typing import assert_type
import outcome
import trio
import trio_rio

async def main(host: str, port: int) -> bytes:
    return host.encode() + bytes(port)

async def nothing() -> None: ...

def post(function: object) -> None: ...
def done(result: outcome.Outcome[bytes]) -> None: ...
def other(result: outcome.Outcome[str]) -> None: ...

assert_type(trio_rio.run(main, "right", 3), bytes)
trio_rio.run(nothing)
trio_rio.run(nothing, config=trio_rio.RioConfig(), clock=None, instruments=[], strict_exception_groups=True)
trio_rio.run(nothing, restrict_keyboard_interrupt_to_checkpoints=True)
trio_rio.run(main, 3, "wrong")  # wrong
trio_rio.run(main, "too few")  # wrong
trio_rio.run(nothing, "too many")  # wrong
trio_rio.run(post, "not async")  # wrong
trio_rio.run(nothing, no_such_option=1)  # wrong
trio_rio.run(nothing, clock=3)  # wrong
trio_rio.run(nothing, config={})  # wrong

trio_rio.start_guest_run(main, "right", 3, run_sync_soon_threadsafe=post, done_callback=done)
trio_rio.start_guest_run(main, 3, "wrong", run_sync_soon_threadsafe=post, done_callback=done)  # wrong
trio_rio.start_guest_run(main, "right", 3, run_sync_soon_threadsafe=post, done_callback=other)  # wrong
trio_rio.start_guest_run(main, "right", 3, done_callback=done)  # wrong

address: trio_rio.Address = ("127.0.0.1", 7)
"""

WRONG = {number for number, line in enumerate(PROGRAM.splitlines(), 1) if line.endswith("# wrong")}


def test_mypy_finds_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mypy, strict, complains of wrong arguments of run() and start_guest_run(), and of nothing else."""
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MYPYPATH", str(ROOT))
    said, problems, _ = mypy.api.run(
        ["--strict", "--config-file=", "--python-executable", sys.executable, "program.py"]
    )
    assert problems == ""
    assert {int(number) for number in re.findall(r"^program\.py:(\d+): error", said, re.MULTILINE)} == WRONG, said


def test_pyright_finds_wrong_arguments(tmp_path: Path) -> None:
    """Pyright complains of wrong arguments of run() and start_guest_run(), and of nothing else."""
    pytest.importorskip("pyright")
    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "program.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        timeout=170,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    assert {one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"} == WRONG, found
