"""What importing costs, and what the interpreter prints at its end: nothing."""

from __future__ import annotations

import subprocess
import sys

# Modules that are for building, testing, demonstrating, or for other event loops.
NOT_NEEDED = ("asyncio", "cffi.recompiler", "hypothesis", "http.client", "pytest", "rich", "setuptools", "unittest")

# Ends the interpreter while connections are open, with a receive posted on each.
EXIT_IN_A_RUN = """
import os, socket, sys, threading, trio, trio_rio

async def main():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            ours = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
            theirs = await listener.accept()
            nursery.start_soon(ours.receive_some)
            nursery.start_soon(theirs.receive_some)
        await trio.testing.wait_all_tasks_blocked()
        HOW_TO_END

import trio.testing
trio_rio.run(main)
"""


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, timeout=60)


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


def test_importing_starts_nothing() -> None:
    """``import trio_rio`` opens no descriptor and starts no thread."""
    done = python(
        "import os, threading, trio; count = lambda: (len(os.listdir('/proc/self/fd')), threading.active_count()); "
        "before = count(); import trio_rio; print(before == count())",
    )
    assert done.stdout == "True\n"


def test_the_end_is_silent_after_sys_exit() -> None:
    """``sys.exit`` within a run with receives posted ends with its code, and nothing is printed."""
    done = python(EXIT_IN_A_RUN.replace("HOW_TO_END", "sys.exit(3)"))
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


def test_the_end_is_silent_after_a_cancel() -> None:
    """A run that is cancelled with receives posted ends with nothing printed."""
    done = python(EXIT_IN_A_RUN.replace("HOW_TO_END", "nursery.cancel_scope.cancel()"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
