"""A server as a process of its own, which ends with the process that started it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import attrs

from .load import LoadError

STOP_TIMEOUT_SECONDS = 10


@attrs.define(eq=False)
class ServerProcess:
    """The process, and the JSON object that it printed when it was ready."""

    process: subprocess.Popen[str]
    said: dict[str, Any]

    def ask(self) -> dict[str, Any]:
        """Send an empty line; the JSON object that comes back.

        Raises:
          LoadError: the process has ended.
        """
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        return _read_object(self.process)


@contextlib.contextmanager
def server_process(name: str, module: str, *arguments: str) -> Iterator[ServerProcess]:
    """A process that runs a module; it is gone when the block is left, in whatever manner.

    Raises:
      LoadError: it did not start.
    """
    # Ctrl-C is for this process; the server ends with its standard input.
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        creationflags=flags,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        try:
            said = _read_object(process)
        except LoadError:
            raise LoadError(f"the server on {name} did not start") from None
        yield ServerProcess(process, said)
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _read_object(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise LoadError("a server has ended before its time")
    said: dict[str, Any] = json.loads(line)
    return said
