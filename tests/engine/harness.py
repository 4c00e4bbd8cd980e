"""What the engine's tests share: sockets on loopback, numbered bytes, other processes, and how large a test is.

``TRIO_RIO_TEST_SCALE`` multiplies the sizes of the heavy tests: 1, the default, is for each change; 16 reaches the
figures of the guarantees, and some tests then take minutes::

    TRIO_RIO_TEST_SCALE=16 python -m pytest tests/engine -o timeout=3600 -o faulthandler_timeout=0
"""

from __future__ import annotations

import array
import contextlib
import gc
import os
import socket
import subprocess
import sys
import warnings
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio.testing import Ledger, current_ledger

ROOT = Path(__file__).resolve().parents[2]
SCALE = float(os.environ.get("TRIO_RIO_TEST_SCALE", "1"))

# How long anything may take that ought to happen at once; only a failing test waits that long.
PATIENCE_SECONDS = 10.0

# Runs each test of a module in the mode of the provider's own, and in the one that Windows needs.
BOTH_MODES = [
    pytest.mark.usefixtures("mode"),
    pytest.mark.parametrize(
        "mode",
        ["request", pytest.param("detach", marks=pytest.mark.rio_config(cancellation="detach"))],
        indirect=True,
    ),
]

# The ways of collecting completions, apart from the default, by name; as options of a run. Each kind of notification
# comes with one queue and with several, and the sum of them has every option.
WAYS_OPTIONS: dict[str, dict[str, Any]] = {
    "port-3-queues": {"completion_queues": 3},
    "port-task": {"notifier": "task", "completion_queues": 2},
    "port-busy": {"busy_poll_seconds": 1e-4, "completion_queues": 2, "separate_send_queue": True},
    "event": {"notification": "event"},
    "event-task": {"notification": "event", "notifier": "task"},
    "event-2-queues-separate-sends": {"notification": "event", "completion_queues": 2, "separate_send_queue": True},
    "event-busy": {"notification": "event", "busy_poll_seconds": 1e-4},
    "polled": {"notification": "polled"},
    "polled-3-queues-separate-sends": {"notification": "polled", "completion_queues": 3, "separate_send_queue": True},
}


def scaled(small: int, full: int) -> int:
    """``small`` at scale 1, in proportion above, and never more than ``full``."""
    return max(1, min(full, round(small * SCALE)))


# ----------------------------------------------------------------------------------------------------------
# Sockets
# ----------------------------------------------------------------------------------------------------------


async def tcp_pair(family: int = socket.AF_INET) -> tuple[trio.socket.SocketType, trio.socket.SocketType]:
    """Two ends of a TCP connection on loopback: the one that connected, the one that was accepted."""
    address = ("127.0.0.1" if family == socket.AF_INET else "::1", 0)
    with trio.socket.socket(family) as listener:
        await listener.bind(address)
        listener.listen()
        client = trio.socket.socket(family)
        await client.connect(listener.getsockname())
        server, _ = await listener.accept()
    return client, server


@contextlib.asynccontextmanager
async def open_pair(
    family: int = socket.AF_INET,
) -> AsyncIterator[tuple[trio.socket.SocketType, trio.socket.SocketType]]:
    """:func:`tcp_pair`, closed at the end."""
    client, server = await tcp_pair(family)
    with client, server:
        yield client, server


def stdlib_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection on loopback, blocking."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    return client, server


async def udp_socket(family: int = socket.AF_INET) -> trio.socket.SocketType:
    """A UDP socket with an address on loopback, and room for many datagrams."""
    sock = trio.socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    await sock.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
    return sock


async def receive_exactly(sock: trio.socket.SocketType, count: int) -> bytes:
    """``count`` bytes; fewer only if the stream ended."""
    received = bytearray()
    while len(received) < count:
        data = await sock.recv(count - len(received))
        if not data:
            break
        received += data
    return bytes(received)


async def receive_all(sock: trio.socket.SocketType) -> bytes:
    """Everything up to the end of the stream."""
    received = bytearray()
    while data := await sock.recv(65536):
        received += data
    return bytes(received)


async def send_all(sock: trio.socket.SocketType, data: bytes) -> None:
    """All of ``data``, by as many sends as it takes."""
    view = memoryview(data)
    while view:
        view = view[await sock.send(view) :]


@contextlib.contextmanager
def dropping(dropped: weakref.ref[trio.socket.SocketType]) -> Iterator[None]:
    """The block deletes the last reference to a socket: it is collected then, with a ResourceWarning."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert dropped() is None
    assert [warning.category for warning in caught] == [ResourceWarning]


async def until_sent() -> None:
    """Wait until no send of the run is in flight: inside a window a send goes on when its call has returned."""
    while trio_rio.current_statistics().sends_in_flight:
        await wait_all_tasks_blocked(0.001)


async def settled() -> Ledger:
    """The books when all that was closed is dequeued: where nothing is cancelled, that is a moment after."""
    with trio.fail_after(PATIENCE_SECONDS):
        while (books := current_ledger()).requests_in_flight:
            await wait_all_tasks_blocked(0.001)
    return books


def fill(sock: socket.socket) -> int:
    """Send from a stdlib socket until the kernel takes no more; how many bytes."""
    sock.setblocking(False)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            count += sock.send(bytes(65536))
    return count


def fill_now(sock: socket.socket, peer: socket.socket) -> None:
    """As :func:`fill`, and the peer acknowledges it at once, not 40 ms later, which makes room for more."""
    fill(sock)
    if sys.platform == "linux":
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        fill(sock)


# ----------------------------------------------------------------------------------------------------------
# Tasks
# ----------------------------------------------------------------------------------------------------------


class SetWhenWoken(trio.abc.Instrument):
    """Sets an event when a task is woken, so that who waits for it runs in the same turn of the run loop."""

    def __init__(self, task: trio.lowlevel.Task, event: trio.Event) -> None:
        self.task = task
        self.event = event

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        if task is self.task:
            self.event.set()


# ----------------------------------------------------------------------------------------------------------
# Numbered bytes
# ----------------------------------------------------------------------------------------------------------


def numbered(stream: int, start: int, stop: int) -> bytes:
    """Bytes ``start`` to ``stop`` of a stream whose eight-byte words are unlike those of any other place or stream."""
    first = start // 8
    words = array.array("Q", range((stream << 32) + first, (stream << 32) + -(-stop // 8)))
    offset = start - first * 8
    return words.tobytes()[offset : offset + stop - start]


# ----------------------------------------------------------------------------------------------------------
# Other processes
# ----------------------------------------------------------------------------------------------------------


def python(
    code: str, *arguments: str, provider: str, timeout_seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, with this provider; fails the test if it fails."""
    done = subprocess.run(
        command(code, *arguments), env=environment(provider), capture_output=True, text=True, timeout=timeout_seconds
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@contextlib.contextmanager
def started(code: str, *arguments: str, provider: str) -> Iterator[subprocess.Popen[str]]:
    """Python code in a process of its own, with pipes to its input and output, which is killed at the end."""
    with subprocess.Popen(
        command(code, *arguments),
        env=environment(provider),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def command(code: str, *arguments: str) -> list[str]:
    """What runs Python code with warnings as errors."""
    return [sys.executable, "-W", "error", "-c", code, *arguments]


def environment(provider: str) -> dict[str, str]:
    """The environment of a process that finds the package here, and uses this provider."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "TRIO_RIO_PROVIDER": provider}
