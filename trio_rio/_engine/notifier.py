"""The notifier: one task per run that collects what completion queues signal.

Facts. A completion queue notifies once per RIONotify, and at once if it holds something. So "dequeue until
empty, then arm" loses no wake-up, and as long as results keep coming nobody needs to arm, wait, or enter the
kernel. A dequeue that brings less than was asked for has emptied the queue. A tick of Trio's run loop costs as
much as handing out several results; waking a task costs a tick.

Consequence. While there is more than a batch of results the notifier stays in the run queue and polls.
Between a dequeue and the arming nothing may block. When one batch empties the queue, which is the rule, a task
of its own would double the ticks of a lone request and its answer.

Decision. A system task, which owns the cycle. With "port", a packet that comes between two ticks is served in place
(:meth:`Collectors.on_packet` does the notifier's next step for it); the notifier runs when a batch was not enough, or
always (``RioConfig(notifier="task")``). Several queues wait in a line, and one step is one batch of the first: a queue
that never empties delays another by one batch each, and tasks run in between. With "event", the notifier waits for the
event, and dispatches a batch of each queue when it is set; a manager that sees it set between two ticks does that in
place. A run that polls is served by its tick, and the notifier is there for the end.

Trio cancels system tasks when the main task is done, but other system tasks, and async generators, may still use
sockets as they clean up. So the notifier is in a nursery that Trio cancels when all of these are done
(:func:`~._trio.spawn_uncounted`), and nothing is different for them.

::

          ┌── more than a batch ──┐
          ▼                       │
    ┌──────────┐            ┌──────────┐   emptied   ┌─────┐     ┌──────┐  packet, or event
    │ dequeue  │ ─────────▶ │ dispatch │ ──────────▶ │ arm │ ──▶ │ wait │ ─────────────────▶ dequeue
    └──────────┘            └──────────┘             └─────┘     └──────┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from .._trio import spawn_uncounted

if TYPE_CHECKING:
    from ..rio import Event
    from .engine import Engine


def start_notifier(engine: Engine) -> None:
    """Start the notifier of an engine whose run has just made its first channel.

    At the very end of a run no system task can be started any more; then the engine takes no requests.
    """
    try:
        engine.collectors.notifier_task = spawn_uncounted(_notify, engine, name="trio_rio notifier")
    except RuntimeError:
        return
    engine.begin()


async def _notify(engine: Engine) -> None:
    try:
        while True:
            await _step(engine)
    finally:
        engine.stop_taking()


async def _step(engine: Engine) -> None:
    event = engine.collectors.event
    if event is None:
        await _serve_or_wait(engine)
    else:
        await _serve_event(engine, event)


async def _serve_or_wait(engine: Engine) -> None:
    """Dispatch a batch of the first queue in line; without one, wait until there is."""
    collectors = engine.collectors
    if collectors.pending:
        collectors.serve_pending()
        if collectors.pending:
            await trio.lowlevel.checkpoint()
            return
    collectors.is_notifier_waiting = True

    def abort(_: object) -> trio.lowlevel.Abort:
        collectors.is_notifier_waiting = False
        return trio.lowlevel.Abort.SUCCEEDED

    await trio.lowlevel.wait_task_rescheduled(abort)


async def _serve_event(engine: Engine, event: Event) -> None:
    """Dispatch a batch of each queue; then, if that was all, arm them and wait until one of them signals."""
    collectors = engine.collectors
    if collectors.is_polling:
        collectors.reset_event()
    elif not collectors.serve_event():
        await trio.lowlevel.checkpoint()
        return
    collectors.is_notifier_waiting = True
    try:
        await engine.manager.wait_event(event)
    finally:
        collectors.is_notifier_waiting = False
