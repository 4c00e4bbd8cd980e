"""``python -m tests.bench syscalls``: how many system calls a message costs a server.

Two tools can count from outside. ``perf stat`` counts tracepoints in the kernel, loses nothing and hardly disturbs;
it needs root or a low ``perf_event_paranoid``. ``strace -c`` needs only the right to trace one's own child, but
stops the server twice at each call, which makes it slow. Under the lockstep discipline a slow server still sees
the same batches, so the count is right with both.

Each tracepoint takes perf about 40 ms to open and close, so it watches the calls that servers make by name and
all calls together; what remains is shown as ``other``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .arguments import at_least, choose_opponents, environment, parser, write_json
from .errors import BenchError
from .machine import machine_facts
from .opponents import Opponent, ServerSettings
from .processes import LineReader, LoadOptions, connected_generator, running_server
from .rounds import placement_for
from .workloads import WORKLOADS, Shape

ATTACH_TIMEOUT_SECONDS = 30.0
TRACEPOINTS = Path("/sys/kernel/tracing/events/syscalls")
WATCHED = (
    *("recvfrom", "sendto", "recvmsg", "sendmsg", "recvmmsg", "sendmmsg", "read", "write", "accept", "accept4"),
    *("close", "shutdown", "setsockopt", "epoll_wait", "epoll_pwait", "epoll_ctl", "poll", "futex"),
    *("io_uring_enter", "io_uring_register", "mmap", "munmap", "madvise", "brk"),
)
_PERF_EVENT = re.compile(r"(?:raw_syscalls:sys_enter|syscalls:sys_enter_(\w+))")
_STRACE_ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$")

Counts = dict[str, int]


def parse_perf(text: str) -> Counts:
    """Calls by name in the output of ``perf stat -x ,``; calls that were never made are left out."""
    counts: Counts = {}
    total = 0
    for line in text.splitlines():
        event = _PERF_EVENT.search(line)
        number = line.split(",", 1)[0]
        if event and number.isdigit() and int(number):
            if event[1]:
                counts[event[1]] = int(number)
            else:
                total = int(number)
    other = total - sum(counts.values())
    return {**counts, "other": other} if other > 0 else counts


def parse_strace(text: str) -> Counts:
    """Calls by name in the summary of ``strace -c``."""
    rows = (_STRACE_ROW.match(line) for line in text.splitlines())
    return {row[2]: int(row[1]) for row in rows if row and row[2] != "total"}


def _perf_events() -> str:
    # A call that this kernel does not have, or has under no such name, would be an error to perf.
    known = [name for name in WATCHED if not TRACEPOINTS.is_dir() or (TRACEPOINTS / f"sys_enter_{name}").exists()]
    return ",".join(["raw_syscalls:sys_enter", *(f"syscalls:sys_enter_{name}" for name in known)])


@contextlib.contextmanager
def _perf(pid: int) -> Iterator[Counts]:
    """Count in the block; the dict is filled at its end."""
    counts: Counts = {}
    control_read, control_write = os.pipe()
    answer_read, answer_write = os.pipe()
    with tempfile.TemporaryDirectory() as folder, os.fdopen(answer_read, "rb", buffering=0) as answers:
        output = Path(folder) / "counts"
        command = ["perf", "stat", "-x", ",", "-o", str(output), "-e", _perf_events(), "-p", str(pid)]
        # Starts disabled (-D -1); "enable" is answered when the counters run.
        command += ["-D", "-1", "--control", f"fd:{control_read},{answer_write}"]
        process = subprocess.Popen(
            command, pass_fds=(control_read, answer_write), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        os.close(control_read)
        os.close(answer_write)
        try:
            os.write(control_write, b"enable\n")
            if LineReader(answers).read_line(ATTACH_TIMEOUT_SECONDS) is None:
                raise BenchError("perf stat did not attach in time")
            if process.poll() is not None:
                assert process.stderr is not None
                raise BenchError(f"perf stat cannot count here: {process.stderr.read().decode().strip()}")
            yield counts
            os.write(control_write, b"disable\n")
            LineReader(answers).read_line(ATTACH_TIMEOUT_SECONDS)
        finally:
            os.close(control_write)
            _interrupt(process)
        counts.update(parse_perf(output.read_text()))


@contextlib.contextmanager
def _strace(pid: int) -> Iterator[Counts]:
    """Count in the block; the dict is filled at its end."""
    counts: Counts = {}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "counts"
        process = subprocess.Popen(
            ["strace", "-c", "-f", "-o", str(output), "-p", str(pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            line = LineReader(process.stderr).read_line(ATTACH_TIMEOUT_SECONDS)
            if not line or "attached" not in line:
                raise BenchError(f"strace cannot attach to the server: {line or 'it said nothing'}")
            yield counts
        finally:
            _interrupt(process)
        counts.update(parse_strace(output.read_text()))


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """End a tool the way that makes it write its result."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(ATTACH_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stderr is not None:
        process.stderr.close()


def _perf_refusal() -> str | None:
    if shutil.which("perf") is None:
        return "perf is not installed"
    command = ["perf", "stat", "-e", "syscalls:sys_enter_read", "true"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=ATTACH_TIMEOUT_SECONDS)
    if result.returncode or "<not" in result.stderr:
        return f"perf cannot count system calls here ({' '.join(result.stderr.split())[:200]})"
    return None


def _strace_refusal() -> str | None:
    return "strace is not installed" if shutil.which("strace") is None else None


TOOLS: Mapping[str, tuple[Callable[[], str | None], Callable[[int], AbstractContextManager[Counts]]]] = (
    MappingProxyType({"perf": (_perf_refusal, _perf), "strace": (_strace_refusal, _strace)})
)


def choose_tool(name: str) -> str:
    """``perf`` or ``strace``; ``auto`` means the first that works.

    Raises:
      BenchError: none works, with the reason of each.
    """
    refusals = []
    for tool in TOOLS if name == "auto" else (name,):
        reason = TOOLS[tool][0]()
        if reason is None:
            return tool
        refusals.append(reason)
    raise BenchError(f"cannot count system calls: {'; '.join(refusals)}. Remedy: install strace, or run perf as root")


def count_syscalls(
    opponent: Opponent, options: LoadOptions, tool: str, environment_added: dict[str, str]
) -> dict[str, Any]:
    """Count a server's system calls under a load.

    Raises:
      BenchError: the server, or the tool, does not work.
    """
    placement = placement_for(options.discipline, "normal")
    settings = ServerSettings(options.mode, options.shape.message_bytes)
    with running_server(opponent, settings, placement, environment_added) as server:
        with connected_generator(server.port, options, placement.generator_cpu) as generator:
            with TOOLS[tool][1](server.pid) as counts:
                result = generator.run()
        server.check()
        calls = sum(counts.values())
        return {
            "facts": dict(server.facts),
            "messages": result.messages,
            "syscalls": dict(sorted(counts.items(), key=lambda item: -item[1])),
            "syscalls_total": calls,
            "syscalls_per_message": calls / result.messages,
        }


def main(arguments: list[str]) -> int:
    """Count, print, and write JSON if asked to."""
    made = parser("syscalls", "Count the system calls that a message costs a server.")
    made.add_argument("--opponents", nargs="+", metavar="NAME", default=["trio_rio"])
    made.add_argument("--workload", choices=list(WORKLOADS), default="echo")
    made.add_argument("--connections", type=at_least(1, int), default=100)
    made.add_argument("--message-bytes", type=at_least(1, int), default=64)
    made.add_argument("--pipeline", type=at_least(1, int), default=1)
    made.add_argument("--seconds", type=at_least(0.01, float), default=1.0)
    made.add_argument("--discipline", choices=("lockstep", "rate"), default="lockstep")
    made.add_argument("--tool", choices=("auto", *TOOLS), default="auto")
    chosen = made.parse_args(arguments)
    opponents, _ = choose_opponents(chosen.opponents)
    tool = choose_tool(chosen.tool)
    shape = Shape(chosen.connections, chosen.message_bytes, chosen.pipeline)
    options = LoadOptions(chosen.workload, shape, chosen.discipline, chosen.seconds)
    results = {}
    for opponent in opponents:
        result = count_syscalls(opponent, options, tool, environment(chosen))
        results[opponent.name] = result
        print(f"{opponent.name}, {chosen.workload}, {shape.connections} connections, {shape.message_bytes} B ({tool})")
        for name, count in result["syscalls"].items():
            print(f"  {name:<24} {count:>10,}  {count / result['messages']:8.4f} per message")
        print(
            f"  {'all':<24} {result['syscalls_total']:>10,}  {result['syscalls_per_message']:8.4f} per message "
            f"({result['messages']:,} messages)",
            flush=True,
        )
    write_json(chosen.json, {"schema": 1, "machine": machine_facts(), "tool": tool, "syscalls": results})
    return 0
