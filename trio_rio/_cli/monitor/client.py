"""The connection to a program that is watched."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import attrs

from ..._looking.server import PROTOCOL, socket_paths

_ANSWER_SECONDS = 5.0


class MonitorError(Exception):
    """It cannot be watched, or not any longer. The text says why."""


class Ended(MonitorError):
    """The program has ended while it was watched."""


def path_of(target: str) -> Path:
    """The socket of a process, by its number, or a path as it is.

    Raises:
      MonitorError: there is none.
    """
    if not target.isdecimal():
        return Path(target)
    paths = socket_paths(int(target))
    for path in paths:
        with contextlib.suppress(OSError):
            if path.is_socket():
                return path
    raise MonitorError(
        f"process {target} cannot be monitored: it does not run as this user, has not begun a run on trio_rio, or was "
        f"started without `run --monitor` and TRIO_RIO_MONITOR=1; there is no {' and no '.join(map(str, paths))}"
    )


@attrs.define(eq=False)
class Watched:
    """A program that answers."""

    name: str
    _sock: socket.socket
    _answers: IO[bytes]

    def ask(self, what: str) -> dict[str, Any]:
        """Ask; the answer.

        Raises:
          Ended: the program is gone.
          MonitorError: it does not answer, or in another language.
        """
        try:
            self._sock.sendall(json.dumps({"ask": what}).encode() + b"\n")
            line = self._answers.readline()
        except TimeoutError:
            raise MonitorError(f"{self.name} does not answer") from None
        except OSError:
            line = b""
        if not line:
            raise Ended(f"{self.name} has ended")
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise MonitorError(f"{self.name} does not talk as a monitored program does") from None
        if answer.get("protocol") != PROTOCOL:
            raise MonitorError(f"{self.name} is of another version of trio_rio, whose answers differ")
        return answer


@contextlib.contextmanager
def watched(target: str) -> Iterator[Watched]:
    """Connect to a program, by its process number or the path of its socket.

    Raises:
      MonitorError: it cannot be watched.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise MonitorError("monitoring needs UNIX sockets, which this Python does not have")
    name = f"process {target}" if target.isdecimal() else f"the program at {target}"
    path = path_of(target)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(_ANSWER_SECONDS)
        try:
            sock.connect(str(path))
        except FileNotFoundError:
            raise MonitorError(f"there is no socket {str(path)!r}") from None
        except ConnectionRefusedError:
            if not path.is_socket():  # Linux says the same of a file or a folder
                raise MonitorError(f"{str(path)!r} is no socket") from None
            raise MonitorError(f"nobody serves {str(path)!r} any more: {name} has ended") from None
        except OSError as error:
            raise MonitorError(f"can't connect to {str(path)!r}: {error.strerror or error}") from None
        with sock.makefile("rb") as answers:
            yield Watched(name, sock, answers)
