"""What importing costs, and what the interpreter prints at its end: nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ..platforms import complaints, needs_descriptors

# Modules that are for building, testing, demonstrating, or for other event loops.
NOT_NEEDED = ("asyncio", "cffi.recompiler", "hypothesis", "http.client", "pytest", "rich", "setuptools", "unittest")

# Ends while connections are open and nobody closes them, with a receive posted on each.
END_IN_THE_MIDDLE = """
import sys, trio, trio.testing, trio_rio

async def main():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    for _ in range(10):
        ours = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        theirs = await listener.accept()
        trio.lowlevel.spawn_system_task(ours.receive_some)
        trio.lowlevel.spawn_system_task(theirs.receive_some)
    await trio.testing.wait_all_tasks_blocked()
    END

trio_rio.run(main)
"""


def python(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a program in development mode, where the interpreter checks its memory and complains of everything."""
    command = [sys.executable, "-X", "dev", *options, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_importing_is_silent() -> None:
    """``import trio_rio`` prints nothing and warns of nothing, in development mode too."""
    done = python("import trio_rio")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_loads_only_what_is_needed() -> None:
    """``import trio_rio`` adds none of the modules that no run needs."""
    done = python(
        "import sys, trio; before = set(sys.modules); import trio_rio; "
        f"print(*sorted((set(sys.modules) - before) & set({NOT_NEEDED!r})))",
    )
    assert done.stdout == "\n"


@needs_descriptors
def test_importing_starts_nothing() -> None:
    """``import trio_rio`` opens no descriptor and starts no thread."""
    done = python(
        "import os, threading, trio; count = lambda: (len(os.listdir('/dev/fd')), threading.active_count()); "
        "before = count(); import trio_rio; print(before == count())",
    )
    assert done.stdout == "True\n"


@pytest.mark.parametrize(("end", "code"), [("return", 0), ("sys.exit(3)", 3)])
def test_the_end_is_silent(end: str, code: int) -> None:
    """A program that ends with connections open and receives posted prints nothing and keeps its exit code."""
    done = python(END_IN_THE_MIDDLE.replace("END", end), "-W", "ignore::ResourceWarning")
    assert (done.returncode, done.stdout, complaints(done.stderr)) == (code, "", "")
