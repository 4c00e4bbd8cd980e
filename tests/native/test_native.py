"""The C core by itself: compile each program beside this file with the core, run it, and believe its exit code.

A program is one claim, in its first line. Here it is built as the extension is, without sanitizers, but with the
core's assertions; ``tests/sanitizers/run.sh`` builds the same programs with them, and the canaries too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
CANNOT_SHOW = 77  # the exit code of a program that this machine does not let do its work
COMPILE_TIMEOUT_SECONDS = 170
RUN_TIMEOUT_SECONDS = 60

PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.c") if not path.stem.startswith("canary_"))

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the C core is for Linux"),
    pytest.mark.skipif(os.environ.get("TRIO_RIO_PROVIDER", "uring") != "uring", reason="TRIO_RIO_PROVIDER"),
]


def claim_of(path: Path) -> str:
    """The first line, without the comment's marks."""
    return path.read_text(encoding="utf-8").splitlines()[0].removeprefix("/* ").removesuffix(" */")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the compiled programs."""
    compiler = os.environ.get("CC", "gcc")
    if shutil.which(compiler) is None and "CI" not in os.environ:
        pytest.skip(f"no C compiler: {compiler}")
    folder = tmp_path_factory.mktemp("native")
    command = ["bash", str(FOLDER / "build.sh"), str(folder), "--", "-O1", "-g0"]
    built = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_SECONDS)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(programs: Path, name: str) -> None:
    """The claim in the first line of the program holds."""
    ran = subprocess.run([programs / name], capture_output=True, text=True, timeout=RUN_TIMEOUT_SECONDS)
    output = "\n".join((ran.stdout + ran.stderr).splitlines()[-50:])
    if ran.returncode == CANNOT_SHOW:
        pytest.skip(output)
    assert ran.returncode == 0, f"not so: {claim_of(FOLDER / (name + '.c'))}\nexit code {ran.returncode}\n{output}"


def test_each_program_says_its_claim() -> None:
    """The first line of each program is a comment: a sentence."""
    claims = {path.name: path.read_text(encoding="utf-8").splitlines()[0] for path in FOLDER.glob("*.c")}
    assert [name for name, line in claims.items() if not line.startswith("/* ") or "." not in line] == []
