"""The monitor's end in the program that is watched: a UNIX socket, and a thread that answers questions on it.

Facts. Whoever can connect learns what the program talks to. A socket of the file system obeys the rights of its folder
everywhere, its own only on some systems.

Decision. The socket lies in the user's runtime folder, or in one below the folder of temporary files that nobody else
may enter, and its own mode is 0600. One daemon thread serves all who ask. It asks nothing of the run, and reads
counters while the run goes on, so that it answers, too, where a task has not let go of the run for seconds. Question
and answer are a line of JSON each; the reference of the command line has their form.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import socket
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import attrs

from .._errors import RioError
from .dump import dump
from .runs import RUNS, Run, read

PROTOCOL = 1

_LINE_BYTES_MAX = 4096
_ANSWER_SECONDS = 2.0
_NO_DESCRIPTOR_SECONDS = 0.5


def socket_paths(pid: int) -> list[Path]:
    """Where the socket of a process may be, the place that is preferred first."""
    paths = []
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        paths.append(Path(runtime) / f"trio_rio-{pid}.sock")
    return [*paths, Path(tempfile.gettempdir()) / f"trio_rio-{_user_id()}" / f"{pid}.sock"]


def _user_id() -> int:
    getuid = getattr(os, "getuid", None)
    return -1 if getuid is None else getuid()


def _is_ones_own(folder: Path) -> bool:
    """Whether a folder is this user's, and nobody else may enter it."""
    with contextlib.suppress(OSError):
        found = folder.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == _user_id() and not found.st_mode & 0o077
    return False


def _path_to_use() -> Path:
    """A path in a folder that is this user's alone.

    Raises:
      OSError: there is none.
    """
    *runtime, temporary = socket_paths(os.getpid())
    for path in runtime:
        if _is_ones_own(path.parent):
            return path
    with contextlib.suppress(FileExistsError):
        temporary.parent.mkdir(mode=0o700)
    if not _is_ones_own(temporary.parent):
        raise OSError(f"{str(temporary.parent)!r} is not a folder that only this user may enter")
    return temporary


@attrs.define(eq=False)
class MonitorServer:
    """See the module's docstring."""

    path: Path | None = None
    _pid: int = 0
    _listener: socket.socket | None = None
    _selector: selectors.BaseSelector | None = None
    _clients: dict[socket.socket, bytearray] = attrs.field(factory=dict)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def start(self) -> Path | None:
        """Begin to serve; where. ``None``: it serves already.

        Raises:
          OSError: no socket can be made here.
        """
        with self._lock:
            if self._pid == os.getpid():
                return None
            if not hasattr(socket, "AF_UNIX"):
                raise OSError("this Python has no UNIX sockets")
            path = _path_to_use()
            path.unlink(missing_ok=True)  # of an earlier process with our number
            with contextlib.ExitStack() as undo:
                listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                selector = undo.enter_context(selectors.DefaultSelector())
                listener.bind(str(path))
                path.chmod(0o600)  # nobody can connect before the next line
                listener.listen(4)
                listener.setblocking(False)
                selector.register(listener, selectors.EVENT_READ)
                undo.pop_all()
            self.path, self._pid, self._listener, self._selector = path, os.getpid(), listener, selector
        atexit.register(self.stop)
        threading.Thread(target=self._serve, args=(listener, selector), name="trio_rio monitor", daemon=True).start()
        return path

    def stop(self) -> None:
        """The process ends: take the socket out of the file system. The thread ends with the process."""
        if self.path is not None and self._pid == os.getpid():
            self.path.unlink(missing_ok=True)

    def leave_to_parent(self) -> None:
        """In a forked child, which has no such thread: close the copies. It may start a server of its own."""
        for sock in (*self._clients, *filter(None, [self._listener])):
            sock.close()
        if self._selector is not None:
            self._selector.close()
        self._clients.clear()
        self.path, self._listener, self._selector, self._lock = None, None, None, threading.Lock()

    def _serve(self, listener: socket.socket, selector: selectors.BaseSelector) -> None:
        while True:
            for key, _ in selector.select():
                sock: Any = key.fileobj
                if sock is listener:
                    self._accept(listener, selector)
                elif not self._answer(sock):
                    selector.unregister(sock)
                    del self._clients[sock]
                    sock.close()

    def _accept(self, listener: socket.socket, selector: selectors.BaseSelector) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            time.sleep(_NO_DESCRIPTOR_SECONDS)  # the program has used them up; who asks is still there
            return
        client.settimeout(_ANSWER_SECONDS)  # one who does not read holds up the others no longer
        self._clients[client] = bytearray()
        selector.register(client, selectors.EVENT_READ)

    def _answer(self, client: socket.socket) -> bool:
        """Answer what has come. False: the client is gone, or talks nonsense."""
        received = self._clients[client]
        try:
            data = client.recv(_LINE_BYTES_MAX)
            received += data
            *lines, rest = received.split(b"\n")
            received[:] = rest
            for line in lines:
                client.sendall(json.dumps(answer(line)).encode() + b"\n")
        except OSError:
            return False
        return bool(data) and len(rest) < _LINE_BYTES_MAX


def answer(line: bytes | bytearray) -> dict[str, Any]:
    """The answer to a question."""
    try:
        asked = json.loads(line)["ask"]
    except (ValueError, TypeError, KeyError):
        asked = None
    head = {"protocol": PROTOCOL, "pid": os.getpid(), "time": time.time()}
    if asked == "statistics":
        return {**head, "runs": [found for run in list(RUNS.under_way) if (found := _about(run))]}
    if asked == "dump":
        try:
            return {**head, "text": dump(list(RUNS.under_way))}
        except RuntimeError:
            return {**head, "error": "the run changes too fast to be read; ask again"}
    return {**head, "error": 'ask {"ask": "statistics"} or {"ask": "dump"}'}


def _about(run: Run) -> dict[str, Any] | None:
    """What is to be known of a run; ``None``: it ends in this very moment."""
    try:
        statistics = attrs.asdict(run.statistics())
    except (RioError, RuntimeError):
        return None
    leases = run.engine.leases
    held = {"held": len(read(leases.held)), "bytes_lent": leases.bytes_lent}
    found = {"thread": run.thread, "seconds": run.seconds, "statistics": statistics, "leases": held}
    if run.turns is not None:
        found["turns"] = {
            "now_seconds": run.turns.now(),
            "slowest_recent_seconds": run.turns.recent(),
            "slowest_seconds": max(run.turns.slowest, run.turns.now()),
        }
    return found


SERVER = MonitorServer()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SERVER.leave_to_parent)
