"""Servers and load generators as child processes.

Both are pinned to a CPU, may open as many files as the hard limit allows, and end with this process whatever
happens to it. This is arranged between fork and exec, so that a server of any kind needs no code for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import attrs

from .build import compiled
from .errors import LoadError, ServerError
from .opponents import Opponent, ServerSettings
from .workloads import Discipline, Shape

ROOT = Path(__file__).parents[2]
START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 5.0
_PR_SET_PDEATHSIG = 1


@attrs.frozen
class Placement:
    """Where processes run.

    Args:
      server_cpu: number of the server's CPU, or ``None`` for any.
      generator_cpu: number of the load generator's CPU, or ``None`` for any.
      server_is_batch: whether the server is under SCHED_BATCH: waking it does not interrupt the generator.
    """

    server_cpu: int | None = None
    generator_cpu: int | None = None
    server_is_batch: bool = False

    @property
    def is_apart(self) -> bool:
        """Whether each of the two has a CPU for itself."""
        return None not in (self.server_cpu, self.generator_cpu) and self.server_cpu != self.generator_cpu


def _spawn(
    command: list[str], *, cpu: int | None, is_batch: bool, environment: Mapping[str, str], errors: IO[bytes]
) -> subprocess.Popen[bytes]:
    # Code between fork and exec is safe in a process with one thread, as this one is; looked up before, all the same.
    prctl = ctypes.CDLL(None).prctl
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        if is_batch:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        cwd=ROOT,
        env={**os.environ, "TRIO_RIO_INSTALL": "0", **environment},  # what is measured as stock Trio must be that
        preexec_fn=prepare,
    )


class LineReader:
    """Lines from a pipe, each awaited with a time limit."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._fd = pipe.fileno()
        self._received = b""

    def read_line(self, timeout_seconds: float) -> str | None:
        """The next line without its end, ``""`` at end of file, ``None`` when the time is over."""
        deadline = time.monotonic() + timeout_seconds
        while b"\n" not in self._received:
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0 or not select.select([self._fd], [], [], left_seconds)[0]:
                return None
            chunk = os.read(self._fd, 65536)
            if not chunk:
                return ""
            self._received += chunk
        line, self._received = self._received.split(b"\n", 1)
        return line.decode()


def _stop(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@attrs.define(eq=False)
class Server:
    """A running server.

    Args:
      opponent: what it is.
      process: its process.
      port: where it serves on 127.0.0.1.
      facts: what it said about itself.
    """

    opponent: Opponent
    process: subprocess.Popen[bytes]
    port: int
    facts: Mapping[str, Any]
    _errors: IO[bytes]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def check(self) -> None:
        """Raise ServerError, with what it said last, if it has ended."""
        code = self.process.poll()
        if code is not None:
            raise ServerError(f"the {self.opponent.name} server ended with code {code}:\n{_tail(self._errors)}")


def _tail(errors: IO[bytes]) -> str:
    errors.seek(0)
    return "\n".join(errors.read().decode(errors="replace").splitlines()[-20:]) or "(it said nothing)"


def tool_output(command: list[str], *, cpu: int | None, timeout_seconds: float) -> str:
    """What a client of others writes to its standard output until it ends by itself.

    Raises:
      LoadError: it does not end in time, or not well; with its last words.
    """
    with tempfile.TemporaryFile() as errors:
        process = _spawn(command, cpu=cpu, is_batch=False, environment={}, errors=errors)
        try:
            output, _ = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            raise LoadError("timeout", f"{command[0]} did not end within {timeout_seconds:g} s") from None
        finally:
            _stop(process)
        if process.returncode:
            raise LoadError(command[0], f"it ended with code {process.returncode}:\n{_tail(errors)}")
        return output.decode(errors="replace")


@contextlib.contextmanager
def running_server(
    opponent: Opponent,
    settings: ServerSettings,
    placement: Placement | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A context manager: a server of ``opponent``, ended at the end of the block.

    Args:
      opponent: from the registry.
      settings: its workload and message size.
      placement: its CPU and scheduling policy; anywhere by default.
      environment: added to this process's environment.

    Raises:
      ServerError: it ended, or said nothing useful, before it served.
    """
    placement = placement or Placement()
    with tempfile.TemporaryFile() as errors:
        process = _spawn(
            opponent.command(settings),
            cpu=placement.server_cpu,
            is_batch=placement.server_is_batch,
            environment=environment or {},
            errors=errors,
        )
        try:
            assert process.stdout is not None
            line = LineReader(process.stdout).read_line(START_TIMEOUT_SECONDS)
            if not line:
                ended = "said nothing in time" if line is None else f"ended with code {process.wait()}"
                raise ServerError(f"the {opponent.name} server {ended} before it served:\n{_tail(errors)}")
            try:
                said = json.loads(line)
                port, facts = int(said["port"]), said.get("facts", {})
            except (ValueError, KeyError, TypeError, AttributeError):
                raise ServerError(f"the {opponent.name} server began with {line!r}, not with its port") from None
            yield Server(opponent, process, port, facts, errors)
        finally:
            _stop(process)


@attrs.frozen
class LoadOptions:
    """What the load generator is asked to do.

    Args:
      mode: a workload's name, or ``hold``: open connections, prove each with echoes, leave them alone.
      shape: how much at once.
      discipline: lockstep or rate.
      seconds: how long.
      messages_max: end earlier, after so many messages; 0 for no such bound.
      messages_per_second: pace of one-way datagrams under rate; 0 for full speed.
      exchanges: of ``hold``: echoes on each connection.
      timeout_seconds: how long an answer may take before it counts as lost.
    """

    mode: str
    shape: Shape
    discipline: Discipline = "lockstep"
    seconds: float = 1.0
    messages_max: int = 0
    messages_per_second: float = 0.0
    exchanges: int = 1
    timeout_seconds: float = 5.0

    def arguments(self) -> list[str]:
        """As the generator's command line."""
        values = {
            "connections": self.shape.connections,
            "message-bytes": self.shape.message_bytes,
            "pipeline": self.shape.pipeline,
            "seconds": self.seconds,
            "messages": self.messages_max,
            "messages-per-second": self.messages_per_second,
            "exchanges": self.exchanges,
            "timeout": self.timeout_seconds,
        }
        options = [f"--{name}={value}" for name, value in values.items()]
        return [self.mode, *options, *(["--rate"] if self.discipline == "rate" else [])]


@attrs.frozen
class LoadResult:
    """What the load generator saw.

    Args:
      messages: handled by the server.
      bytes: payload of these, in one direction.
      seconds: from the first send to the last answer.
      generator_cpu_seconds: used by the generator in that time, without what it spent on asking for events in vain.
      lost: one-way datagrams sent and not counted by the server.
      latency_us: count, p50, p99, p99_9 and max of a batch's round trip, in microseconds; rate only.
    """

    messages: int
    bytes: int
    seconds: float
    generator_cpu_seconds: float
    lost: int
    latency_us: Mapping[str, float] | None


@attrs.define(eq=False)
class Generator:
    """A load generator whose connections are open and proved; made by :func:`connected_generator`."""

    _options: LoadOptions
    _process: subprocess.Popen[bytes]
    _reader: LineReader

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def run(self) -> LoadResult:
        """Do the work. The connections stay open until the block of the generator ends.

        Raises:
          LoadError: the server was at fault.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(b"go\n")
        self._process.stdin.flush()
        return LoadResult(**self._read(self._options.seconds + 4 * self._options.timeout_seconds + 20))

    def _read(self, timeout_seconds: float) -> dict[str, Any]:
        line = self._reader.read_line(timeout_seconds)
        if not line:
            said = "said nothing in time" if line is None else f"ended with code {self._process.wait()}"
            raise LoadError("generator", f"the load generator {said}")
        if line == "ready":
            return {}
        result: dict[str, Any] = json.loads(line)
        if "error" in result:
            raise LoadError(result["error"], result["detail"])
        return result


@contextlib.contextmanager
def connected_generator(port: int, options: LoadOptions, cpu: int | None = None) -> Iterator[Generator]:
    """A context manager: a load generator, connected to 127.0.0.1:``port`` and warm, ended with the block.

    Raises:
      LoadError: the options make no sense, or the server was at fault already.
    """
    with tempfile.TemporaryFile() as errors:
        command = [str(compiled("load")), *options.arguments(), f"--port={port}"]
        process = _spawn(command, cpu=cpu, is_batch=False, environment={}, errors=errors)
        try:
            assert process.stdout is not None
            generator = Generator(options, process, LineReader(process.stdout))
            # Setting up is sequential: each connection may take its time limit, but a healthy one takes none.
            generator._read(START_TIMEOUT_SECONDS + 2 * options.timeout_seconds)
            yield generator
        finally:
            _stop(process)
