"""``python -m tests.bench floor``: what Trio and SocketStream cost by themselves, in a process that does no I/O.

The echo program runs on sockets that do nothing: each ``recv`` and ``send`` yields once and is made runnable again
before the next tick. What remains is the run loop, the tasks and :class:`trio.SocketStream`; no I/O backend under that
class can cost less.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import time
from typing import Any

import trio

from trio_rio._trio import GLOBAL_RUN_CONTEXT, WaitTaskRescheduled, async_yield

MESSAGE = b"x" * 64


class IdleSocket(trio.socket.SocketType):
    """The least that SocketStream needs; every call is one schedule point."""

    type = socket.SOCK_STREAM
    did_shutdown_SHUT_WR = False

    def __init__(self, waiting: list[Any]) -> None:
        self.waiting = waiting
        self.message = WaitTaskRescheduled(lambda _: trio.lowlevel.Abort.FAILED)

    def setsockopt(self, *_: object) -> None:
        """Accept the options that SocketStream sets."""

    async def recv(self, _size: int, _flags: int = 0, /) -> bytes:
        """A message, after one tick."""
        self.waiting.append(GLOBAL_RUN_CONTEXT.task)
        await async_yield(self.message)
        return MESSAGE

    async def send(self, data: Any, _flags: int = 0, /) -> int:
        """All of it, after one tick."""
        self.waiting.append(GLOBAL_RUN_CONTEXT.task)
        await async_yield(self.message)
        return len(data)


class IdleManager:
    """Trio's own manager, which also makes every waiting task runnable before each tick."""

    def __init__(self, stock: Any, waiting: list[Any]) -> None:
        self.stock, self.waiting = stock, waiting

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stock, name)

    def get_events(self, timeout: float) -> Any:
        """Do not wait while a task does."""
        return self.stock.get_events(0 if self.waiting else timeout)

    def process_events(self, events: Any) -> None:
        """Wake everybody, as cheaply as it can be done."""
        self.stock.process_events(events)
        runnable = GLOBAL_RUN_CONTEXT.runner.runq
        for task in self.waiting:
            task._next_send_fn, task._next_send, task._abort_func = task.coro.send, None, None
            runnable.append(task)
        self.waiting.clear()


async def measure(connections: int, messages: int) -> float:
    """CPU microseconds per message."""
    waiting: list[Any] = []
    runner: Any = GLOBAL_RUN_CONTEXT.runner
    runner.io_manager = IdleManager(runner.io_manager, waiting)

    async def echo(stream: trio.SocketStream) -> None:
        for _ in range(messages // connections):
            await stream.send_all(await stream.receive_some(65536))

    start = time.process_time()
    async with trio.open_nursery() as nursery:
        for _ in range(connections):
            nursery.start_soon(echo, trio.SocketStream(IdleSocket(waiting)))
    used = time.process_time() - start
    runner.io_manager = runner.io_manager.stock
    return used / (messages // connections * connections) * 1e6


def main(arguments: list[str]) -> int:
    """Measure a few times and print the median and the spread."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench floor", description=__doc__)
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    if min(options.connections, options.messages, options.rounds) < 1:
        parser.error("numbers must be at least 1")
    figures = [trio.run(measure, options.connections, options.messages) for _ in range(options.rounds)]
    median = statistics.median(figures)
    print(f"Trio and SocketStream without I/O: {median:.2f} us per message", file=sys.stdout)
    print(f"(min {min(figures):.2f}, max {max(figures):.2f}, {options.connections} connections)")
    return 0
