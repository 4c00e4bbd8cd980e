"""The notifier: one task per run that collects what completion queues signal.

Facts. A completion queue notifies once per RIONotify, and at once if it holds something. So "dequeue until
empty, then arm" loses no wake-up, and as long as results keep coming nobody needs to arm, wait, or enter the
kernel. A dequeue that brings less than was asked for has emptied the queue. A tick of Trio's run loop costs as
much as handing out several results; waking a task costs a tick.

Consequence. While there is more than a turn's worth of results the notifier stays in the run queue and polls.
Between a dequeue and the arming nothing may block. When one turn empties the queue, which is the rule, a task
of its own would double the ticks of a lone request and its answer.

Decision. A system task, which owns the cycle. With "port", a packet that comes between two ticks is served in
place (:meth:`Collectors.serve_packet` does the notifier's next step for it); the notifier runs when a turn was
not enough, and when a packet came inside a task's step. Several queues wait in a line, and one step is one turn
of the first: a queue that never empties delays another by one turn each, and tasks run in between. With "event",
the notifier waits for the event, and gives each queue a turn when it is set. A run that polls is served by its tick,
and the notifier is there for the end.

Trio cancels system tasks when the main task is done, but other system tasks may still wait for requests, which
end only with their completions: so the notifier then stops taking new requests and goes on, shielded, until
nobody waits. After that sockets go Trio's own way.

::

          ┌── more than a turn ──┐
          ▼                      │
    ┌──────────┐            ┌────────┐   emptied   ┌─────┐     ┌──────┐  packet, or event
    │ dequeue  │ ─────────▶ │  turn  │ ──────────▶ │ arm │ ──▶ │ wait │ ─────────────────▶ dequeue
    └──────────┘            └────────┘             └─────┘     └──────┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ._trio import spawn_uncounted

if TYPE_CHECKING:
    from ._engine import Engine
    from .rio import Event


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
    except trio.Cancelled:
        engine.begin_draining()
        with trio.CancelScope(shield=True):
            while engine.must_go_on():
                # At once: what is called back must not take what a task now receives in Trio's own way.
                engine.collectors.poll()
                if engine.must_go_on():
                    await _step(engine)
        raise
    finally:
        engine.collectors.notifier_task = None
        engine.on_notifier_exit()


async def _step(engine: Engine) -> None:
    event = engine.collectors.event
    if event is None:
        await _serve_or_wait(engine)
    else:
        await _serve_event(engine, event)


async def _serve_or_wait(engine: Engine) -> None:
    """One turn of the first queue in line; without one, wait until there is."""
    collectors = engine.collectors
    if collectors.due:
        collectors.serve_due()
        if collectors.due:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        if _is_drained(engine):
            return
    collectors.is_notifier_waiting = True

    def abort(_: object) -> trio.lowlevel.Abort:
        collectors.is_notifier_waiting = False
        return trio.lowlevel.Abort.SUCCEEDED

    await trio.lowlevel.wait_task_rescheduled(abort)


async def _serve_event(engine: Engine, event: Event) -> None:
    """One turn of each queue; then, if that was all, arm them and wait until one of them signals."""
    collectors = engine.collectors
    event.reset()
    if not collectors.is_polling:
        full = [collector for collector in collectors.all if collector.turn() == collector.limit]
        if full:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        if _is_drained(engine):
            return
        collectors.arm()
    collectors.is_notifier_waiting = True
    try:
        await engine.manager.wait_event(event)
    finally:
        collectors.is_notifier_waiting = False
    engine.counters.received += 1


def _is_drained(engine: Engine) -> bool:
    """At the end of a run: whether that was the last result that anybody waits for. No signal would come."""
    return engine.runner is None and not engine.must_go_on()
