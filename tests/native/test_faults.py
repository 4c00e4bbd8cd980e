"""System calls that fail: strace makes io_uring refuse, or hiccup, and the program on top must not mind.

The kernel's answers are forged by strace(1) with ``-e inject``; nothing in the program knows of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import trio_rio

TRAFFIC = Path(__file__).parent / "traffic.py"
ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 100

# What a refusal must tell: what the reason says beside the error's name, and a word of what to do.
REFUSALS = {
    "ENOMEM": ("no memory for the ring", "ulimit -l"),
    "EMFILE": ("no file descriptor left", "ulimit -n"),
    "EPERM": ("forbids io_uring", "seccomp profile"),
    "ENOSYS": ("no io_uring", "Linux 5.11"),
}

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="strace is for Linux"),
    pytest.mark.skipif(os.environ.get("TRIO_RIO_PROVIDER", "uring") != "uring", reason="TRIO_RIO_PROVIDER"),
]


@pytest.fixture(autouse=True, scope="module")
def uring_serves() -> None:
    """Without io_uring there is nothing to break; without strace nothing to break it with."""
    refused = {item.name: item.reason for item in trio_rio.probe().providers if not item.is_available}
    if "uring" in refused:
        pytest.skip(f"provider uring cannot serve here: {refused['uring']}")
    if shutil.which("strace") is None and "CI" not in os.environ:
        pytest.skip("strace is not installed")


class Strace:
    """Runs the traffic with an answer of the kernel forged."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def run(self, inject: str, messages: int, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end. The injection did happen."""
        kept = {name: value for name, value in os.environ.items() if name != "TRIO_RIO_PROVIDER"}
        call = inject.partition(":")[0]
        strace = ["strace", "-f", "-qqq", "-o", str(self.trace), f"--trace={call}", f"--inject={inject}"]
        ran = subprocess.run(
            [*strace, sys.executable, str(TRAFFIC), str(messages)],
            env=kept | {"PYTHONPATH": str(ROOT)} | environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        assert "(INJECTED)" in self.trace.read_text(errors="replace")
        return ran

    def report(self, inject: str, messages: int) -> Any:
        """What the traffic has to say; it went well."""
        ran = self.run(inject, messages)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)


@pytest.fixture
def strace(tmp_path: Path) -> Strace:
    return Strace(tmp_path / "trace")


@pytest.mark.parametrize("error", REFUSALS)
def test_a_refused_ring_is_explained_once(strace: Strace, error: str) -> None:
    """Where no ring can be made, portable serves, and one WARNING has the reason and the remedy of the probe."""
    said = strace.report(f"io_uring_setup:error={error}", 5)
    reason, remedy = said["probe"]["uring"]
    meaning, advice = REFUSALS[error]
    assert f"io_uring_setup failed with {error}: " in reason
    assert meaning in reason
    assert advice in remedy
    assert said["provider"] == "portable"
    ((level, text),) = said["log"]
    assert level == "WARNING"
    assert reason in text
    assert remedy in text


@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
def test_a_ring_that_must_not_be_entered_is_refused(strace: Strace, error: str) -> None:
    """Where a ring can be made and not entered, portable serves, and the reason and the remedy name the call."""
    said = strace.report(f"io_uring_enter:error={error}", 5)
    reason, remedy = said["probe"]["uring"]
    assert f"io_uring_enter failed with {error}: " in reason
    assert "io_uring_enter and io_uring_register" in remedy
    assert said["provider"] == "portable"
    assert [level for level, _ in said["log"]] == ["WARNING"]


@pytest.mark.parametrize("error", REFUSALS)
def test_a_refused_ring_that_is_demanded_is_an_error(strace: Strace, error: str) -> None:
    """Where no ring can be made and uring is demanded, the run fails with the reason and the remedy."""
    ran = strace.run(f"io_uring_setup:error={error}", 5, TRIO_RIO_PROVIDER="uring")
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("trio_rio.RioUnavailableError: ")
    assert all(part in last for part in (error, *REFUSALS[error]))


@pytest.mark.parametrize(
    "when",
    [pytest.param("1..30", id="the_first_30"), pytest.param("2+2", id="every_second"), pytest.param("5+7", id="some")],
)
@pytest.mark.parametrize("error", ["EINTR", "EAGAIN", "EBUSY", "ENOMEM"])
def test_a_ring_that_hiccups_loses_nothing(strace: Strace, error: str, when: str) -> None:
    """With io_uring_enter failing now and then, all traffic passes, on uring, and nothing is logged."""
    said = strace.report(f"io_uring_enter:error={error}:when={when}", 50)
    assert said["provider"] == "uring"
    assert said["log"] == []


def test_a_kernel_without_memory_is_told_of_in_the_end(strace: Strace) -> None:
    """When io_uring_enter goes on to have no memory, the run ends with an error that says so, and ends."""
    ran = strace.run("io_uring_enter:error=ENOMEM:when=10+", 50)
    assert ran.returncode == 1
    assert "io_uring_enter failed with ENOMEM: for seconds the kernel has had no memory for requests" in ran.stderr


def test_a_ring_without_its_wake_up_descriptor_is_refused(strace: Strace) -> None:
    """When there is a ring and no descriptor for the eventfd beside it, portable serves, and the reason names both."""
    said = strace.report("eventfd2:error=EMFILE", 5)
    assert said["provider"] == "portable"
    assert [level for level, _ in said["log"]] == ["WARNING"]
    assert said["probe"]["uring"][0].startswith("eventfd failed with EMFILE: ")
