"""The names of Trio's inside that trio_rio touches, in one place.

Facts. Trio has no public way to put in an I/O manager or a socket class. ``run`` and ``start_guest_run`` read
``runner.io_manager`` at each step, and make the manager from the module's global ``TheIOManager``;
``from_stdlib_socket``, ``accept`` and ``dup`` make sockets from the module's global ``_SocketType``. The run of the
current thread hangs on the thread-local ``GLOBAL_RUN_CONTEXT`` (``runner`` during a run, ``task`` during a step).
``spawn_system_task`` puts tasks where they are cancelled with the end of the main task, while others still clean up;
``runner.init_task`` has a nursery around that one.

A task waits by yielding a message with its abort function, and resumes with what :func:`trio.lowlevel.reschedule` got.
Those two functions are the largest part of what a completion costs in Python; :func:`async_yield` and
:func:`reschedule_all` are the same without the frames in between.

Decision. Whatever is not in Trio's documentation is imported here and nowhere else, so that a new Trio version is
checked by reading one file (``tests/test_layers.py`` sees to it). What of it is read later than at import is looked for
at import too (:data:`NEEDED`). The versions that were tried stand in :mod:`._trio_versions`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import trio

from ._trio_versions import find_missing, unsupported, warn_if_untried

try:
    from trio import _socket
    from trio._core import _run
    from trio._core._entry_queue import EntryQueue
    from trio._core._instrumentation import Instruments
    from trio._core._run import GLOBAL_RUN_CONTEXT, CancelStatus, Runner, Task
    from trio._core._traps import CancelShieldedCheckpoint, WaitTaskRescheduled, _async_yield
    from trio._core._wakeup_socketpair import WakeupSocketpair
except ImportError as error:
    raise unsupported(trio.__version__, str(error)) from None

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    # What a manager has in common on every platform; which class it is makes no difference to types.
    from trio._core._io_epoll import EpollIOManager as StockIOManager
    from trio.socket import SocketType

    class Resumption(Protocol):
        """What a task waits for, and is resumed with."""

        task: Any


_GLOBALS = {_run: ("TheIOManager",), _socket: ("_SocketType", "_stdlib_socket")}


def _refuse_if_missing(needed: dict[Any, tuple[str, ...]]) -> None:
    missing = find_missing(needed)
    if missing:
        raise unsupported(trio.__version__, f"{', '.join(missing)} is gone")


_refuse_if_missing(_GLOBALS)

#: The module whose globals ``TheIOManager`` and ``_SocketType`` are bound in.
RUN_MODULE: Any = _run
SOCKET_MODULE: Any = _socket

#: Trio's own classes, whatever is bound in their place later.
if not TYPE_CHECKING:
    StockIOManager = _run.TheIOManager
StockSocketType = _socket._SocketType

#: What is read of Trio's objects during a run, here and elsewhere in the package.
NEEDED: dict[Any, tuple[str, ...]] = {
    Runner: (
        "entry_queue", "init_task", "instruments", "io_manager", "is_guest", "ki_pending", "main_task", "reschedule",
        "runq", "spawn_impl", "tasks",
    ),
    Task: (
        "_abort_func", "_cancel_points", "_cancel_status", "_next_send", "_next_send_fn", "_runner", "child_nurseries",
        "coro", "custom_sleep_data", "name",
    ),
    CancelStatus: ("effectively_cancelled",),
    EntryQueue: ("task", "wakeup"),
    Instruments: ("data",),
    WakeupSocketpair: ("wakeup_sock", "wakeup_thread_and_signal_safe", "write_sock"),
    StockIOManager: (
        "close", "force_wakeup", "get_events", "notify_closing", "process_events", "statistics", "wait_readable",
        "wait_writable",
    ),
    StockSocketType: ("_did_shutdown_SHUT_WR", "_sock"),
}  # fmt: skip
if StockIOManager.__name__ == "WindowsIOManager":  # which has a completion port, and lets others use it
    NEEDED[StockIOManager] += ("_completion_key_counter", "_completion_key_queues", "current_iocp")
_refuse_if_missing(NEEDED)
warn_if_untried(trio.__version__)

#: ``await async_yield(message)``: hand a message to the scheduler; what the task is resumed with comes back.
async_yield: Any = _async_yield

#: ``await async_yield(SHIELDED_CHECKPOINT)`` is :func:`trio.lowlevel.cancel_shielded_checkpoint` in one frame.
SHIELDED_CHECKPOINT: Any = CancelShieldedCheckpoint


def current_runner() -> Runner | None:
    """The run of this thread; ``None`` outside of one."""
    return getattr(GLOBAL_RUN_CONTEXT, "runner", None)


class _NoTask:
    """Stands for the current task where none is running: whatever is asked of it is answered as Trio would."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError("must be called from async context")


#: ``getattr(GLOBAL_RUN_CONTEXT, "task", NO_TASK)`` costs less than :func:`trio.lowlevel.current_task`.
NO_TASK: Any = _NoTask()


def enter_cancel_point() -> bool:
    """Half of :func:`trio.lowlevel.checkpoint_if_cancelled`: a cancel point. Returns whether to raise there.

    The caller then goes through :func:`trio.lowlevel.checkpoint`, which raises.

    Raises:
      RuntimeError: no task is running.
    """
    task = getattr(GLOBAL_RUN_CONTEXT, "task", NO_TASK)
    task._cancel_points += 1
    return task._cancel_status.effectively_cancelled or (task is task._runner.main_task and task._runner.ki_pending)


_CANCELLED = WaitTaskRescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)


async def checkpoint_at_once() -> None:
    """:func:`trio.lowlevel.checkpoint`, in one step for a task that is cancelled already: it would take two."""
    if enter_cancel_point():
        (await async_yield(_CANCELLED)).unwrap()
    await trio.lowlevel.checkpoint()


def stdlib_socket_of(sock: SocketType) -> socket.socket:
    """The socket inside a Trio socket.

    Raises:
      TypeError: it is somebody's own class, and has none.
    """
    inner = getattr(sock, "_sock", None)
    if not isinstance(inner, socket.socket):
        raise TypeError(f"{sock!r} is not one of Trio's own sockets")
    return inner


def spawn_uncounted(async_fn: Callable[..., Awaitable[None]], *args: object, name: str) -> Task:
    """A system task that outlives all others, and that ``tasks_living`` does not count.

    It is cancelled when no task of the program is left: after its system tasks, and after async generators were
    finalised. Programs, Trio's own tests among them, read that number to see whether they have left a task behind.

    Raises:
      RuntimeError: that has come already.
    """
    runner: Any = GLOBAL_RUN_CONTEXT.runner
    if not runner.init_task.child_nurseries:
        raise RuntimeError("the run is over")
    # Trio keeps its own task for run_sync_soon in this one, until the very end.
    last = runner.init_task.child_nurseries[0]
    task: Task = runner.spawn_impl(_run_uncounted, (runner, async_fn, args), last, name, system_task=True)
    runner.tasks.remove(task)
    return task


async def _run_uncounted(runner: Any, async_fn: Callable[..., Awaitable[None]], args: tuple[object, ...]) -> None:
    task = GLOBAL_RUN_CONTEXT.task
    try:
        await async_fn(*args)
    finally:
        runner.tasks.add(task)  # the task ends in this very step, and then Trio takes it out


def is_in_host() -> bool:
    """Whether the host of a guest run called, between two ticks of the run."""
    return bool(getattr(current_runner(), "is_guest", False)) and not hasattr(GLOBAL_RUN_CONTEXT, "task")


def reschedule_all(runner: Any, resumptions: Sequence[Resumption]) -> None:
    """``runner.reschedule(one.task, one)`` for each, in one frame; order is kept."""
    if runner.is_guest or "task_scheduled" in runner.instruments.data:
        for one in resumptions:
            runner.reschedule(one.task, one)
        return
    make_runnable = runner.runq.append
    for one in resumptions:
        task = one.task
        assert task._next_send_fn is None
        task._next_send_fn = task.coro.send
        task._next_send = one
        task._abort_func = None
        task.custom_sleep_data = None
        make_runnable(task)


__all__ = [
    "GLOBAL_RUN_CONTEXT",
    "NEEDED",
    "NO_TASK",
    "RUN_MODULE",
    "SHIELDED_CHECKPOINT",
    "SOCKET_MODULE",
    "Runner",
    "StockIOManager",
    "StockSocketType",
    "Task",
    "WaitTaskRescheduled",
    "async_yield",
    "checkpoint_at_once",
    "current_runner",
    "enter_cancel_point",
    "is_in_host",
    "reschedule_all",
    "spawn_uncounted",
    "stdlib_socket_of",
]
