"""What a run goes on with in a forked child, in place of its own I/O manager.

Facts
=====
A child of ``fork`` has copies of all objects of the run that its thread was in, and shares with the parent what their
descriptors stand for: the poll set, and both socket pairs by which Trio is woken. What it changes in the poll set, and
what it takes out of it, the parent misses; a ring it cannot enter at all. Tasks that wait for I/O wait for what only
the parent will be told.

Consequence
===========
Nothing that the run has may be used, or taken back, in the child. But a program may go on there as far as it asks for
nothing of that: sleep, cancel, return, use threads.

Decision
========
- Python calls :func:`leave_to_parent` in the child, before :func:`os.fork` returns there. No step of a run has to ask.
- The run gets a :class:`ForkedIOManager`: Trio's own, with a poll set of the child's, and of the run's manager only the
  engine, which refuses every socket. Trio's wake-ups get pairs of the child's under the same numbers, so that whoever
  has such a number (Python's signal handler among them) need not know.
- A task that waits for I/O goes on waiting, as on stock Trio, and can be cancelled. When the run has nothing else left
  to do such a task is told, one after another: each may end those that wait with it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import outcome
import trio

from .._trio import StockIOManager, current_runner

if TYPE_CHECKING:
    from .._engine.engine import Engine
    from .._trio import Runner, Task

# Longer than any deadline that a program means: Trio's own limit for a run that has none is a day.
_FOR_EVER_SECONDS = 12 * 60 * 60.0

# What get_events returns when the run would wait for ever: a task is to be told.
_TELL: Any = ["tell a task"]

_PACKAGE = str(__package__).partition(".")[0] + "."
_STOCK_MODULE = StockIOManager.__module__
_THREADS_MODULE = trio.to_thread.run_sync.__globals__["__name__"]


class ForkedIOManager(StockIOManager):
    """Trio's own I/O manager, for the rest of a run in a forked child."""

    def __init__(self, runner: Runner, parents: Any) -> None:
        super().__init__()
        self.engine: Engine = parents.engine
        self._runner = runner
        self._parents = parents

    def close(self) -> None:
        """End of the run: close the child's copies of what the parent has, too."""
        super().close()
        self._parents.close()

    def get_events(self, timeout: float) -> Any:
        """Trio's own, unless nothing but the parent could end the wait."""
        if timeout > _FOR_EVER_SECONDS and self._who_waits_for_ever() is not None:
            return _TELL
        return super().get_events(timeout)

    def process_events(self, events: Any) -> None:
        """Trio's own; or tell a task that it waits for what is the parent's."""
        if events is not _TELL:
            super().process_events(events)
            return
        task = self._who_waits_for_ever()
        if task is not None:
            trio.lowlevel.reschedule(task, outcome.capture(self.engine.check_process))

    def _who_waits_for_ever(self) -> Task | None:
        """A task of the program that waits for I/O, if no thread works for the program."""
        tasks = list(_tasks_below(self._runner.main_task))
        if any(_module_of_abort(task) == _THREADS_MODULE for task in tasks):
            return None
        return next(filter(_waits_for_io, tasks), None)

    async def wait_readable(self, fd: Any) -> None:
        """See :func:`trio.lowlevel.wait_readable`. RioError, but for Trio's own wake-up."""
        if fd is not self._runner.entry_queue.wakeup.wakeup_sock:
            self.engine.check_process()
        await super().wait_readable(fd)

    async def wait_writable(self, fd: Any) -> None:
        """See :func:`trio.lowlevel.wait_writable`. RioError."""
        self.engine.check_process()


def leave_to_parent() -> None:
    """In a forked child: let the run that this thread is in, if it is on trio_rio, go on with what is the child's."""
    runner: Any = current_runner()
    manager = getattr(runner, "io_manager", None)
    engine: Engine | None = getattr(manager, "engine", None)
    if engine is None:
        return
    engine.stop_taking()
    _renew(runner.entry_queue.wakeup)
    runner.io_manager = ForkedIOManager(runner, manager)
    for task in _tasks_below(runner.init_task):
        if not _waits_for_io(task):
            continue
        if getattr(task.coro, "cr_code", None) is type(runner.entry_queue).task.__code__:
            trio.lowlevel.reschedule(task)  # to wait anew, for the child's own wake-up
        else:
            task._abort_func = _let_go


def _renew(wakeup: Any) -> None:
    """Put a socket pair of the child's in the place of the one that it shares, and wake the task that waits for it."""
    for own, shared in zip(socket.socketpair(), (wakeup.wakeup_sock, wakeup.write_sock), strict=True):
        with own:
            own.setblocking(False)
            os.dup2(own.fileno(), shared.fileno(), inheritable=False)
    wakeup.wakeup_thread_and_signal_safe()


def _tasks_below(task: Task | None) -> Iterator[Task]:
    """The task itself, and all in its nurseries."""
    if task is not None:
        yield task
        for nursery in task.child_nurseries:
            for child in nursery.child_tasks:
                yield from _tasks_below(child)


def _module_of_abort(task: Task) -> str:
    """Where the function stands that would end the wait of a task; nothing if it does not wait."""
    return getattr(task._abort_func, "__module__", None) or ""


def _waits_for_io(task: Task) -> bool:
    module = _module_of_abort(task)
    return module == _STOCK_MODULE or module.startswith(_PACKAGE)


def _let_go(_: object) -> trio.lowlevel.Abort:
    """Ends the wait of a task in the child: there is nothing that the parent should hear of."""
    return trio.lowlevel.Abort.SUCCEEDED
