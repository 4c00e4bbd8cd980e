"""The launcher that stands for a container which forbids io_uring."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

LAUNCHER = Path(__file__).with_name("seccomp_refuse.py")

# Calls the three io_uring functions with senseless arguments and prints what the kernel answered.
PROBE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def answer(number):
    ctypes.set_errno(0)
    libc.syscall(ctypes.c_long(number), ctypes.c_long(-1), None, 0, 0, None, 0)
    return ctypes.get_errno()
print(*map(answer, range(424, 429)))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, LAUNCHER, *arguments], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["EPERM", "ENOSYS"])
def test_three_calls_are_refused_and_their_neighbours_are_not(name: str) -> None:
    """425 to 427 get the errno that was asked for; 424 and 428 still reach the kernel."""
    unfiltered = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60)
    before, *_, after = unfiltered.stdout.split()
    number = str(getattr(errno, name))
    result = run("--errno", name, "--", sys.executable, "-c", PROBE)
    assert result.stdout.split() == [before, number, number, number, after]


def test_the_refusal_is_inherited() -> None:
    """A child of the command is refused too."""
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PROBE!r}], check=True)"
    result = run(sys.executable, "-c", child)
    assert result.stdout.split()[1:4] == [str(errno.EPERM)] * 3


def test_the_exit_code_is_the_commands() -> None:
    """The launcher becomes the command."""
    assert run(sys.executable, "-c", "raise SystemExit(7)").returncode == 7


def test_a_missing_command_is_said() -> None:
    """A command that does not exist gives 127 and its name, as from env."""
    result = run("--", "no-such-command-here")
    assert result.returncode == 127
    assert result.stderr == f"seccomp_refuse: no-such-command-here: {os.strerror(errno.ENOENT)}\n"


def test_no_command_is_an_error() -> None:
    """Without a command there is nothing to do."""
    assert run().returncode == 2
