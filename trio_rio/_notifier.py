"""The notifier: one task per run that collects completions.

Facts. A completion queue notifies once per RIONotify, and at once if it holds something. So "dequeue until
empty, then arm" loses no wake-up, and as long as results keep coming nobody needs to arm, wait, or enter the
kernel. A dequeue that brings less than was asked for has emptied the queue. A tick of Trio's run loop costs as
much as handing out several results; waking a task costs a tick.

Consequence. While there is more than a turn's worth of results the notifier stays in the run queue and polls.
Between a dequeue and the arming nothing may block. When one turn empties the queue, which is the rule, a task
of its own would double the ticks of a lone request and its answer.

Decision. A system task, which owns the cycle. A packet that comes between two ticks is served in place
(:meth:`Engine.serve_packet` does the notifier's next step for it); the notifier runs when a turn was not
enough, and when a packet came inside a task's step. Trio cancels system tasks when the main task is done, but
other system tasks may still wait for requests, which end only with their completions: so the notifier then
stops taking new requests and goes on, shielded, until nobody waits. After that sockets go Trio's own way.

::

          ┌── more than a turn ──┐
          ▼                      │
    ┌──────────┐            ┌────────┐   emptied   ┌─────┐     ┌──────┐  packet
    │ dequeue  │ ─────────▶ │  turn  │ ──────────▶ │ arm │ ──▶ │ wait │ ───────▶ dequeue
    └──────────┘            └────────┘             └─────┘     └──────┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ._trio import spawn_uncounted

if TYPE_CHECKING:
    from ._engine import Engine


def start_notifier(engine: Engine) -> None:
    """Start the notifier of an engine whose run has just made its first channel.

    At the very end of a run no system task can be started any more; then the engine takes no requests.
    """
    try:
        engine.notifier_task = spawn_uncounted(_notify, engine, name="trio_rio notifier")
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
                await _step(engine)
        raise
    finally:
        engine.notifier_task = None
        engine.on_notifier_exit()


async def _step(engine: Engine) -> None:
    if engine.turn() == engine.config.results_per_turn:
        await trio.lowlevel.cancel_shielded_checkpoint()
        return
    if engine.runner is None and not engine.must_go_on():
        return  # draining, and that was the last: no packet will come
    engine.is_notifier_called = False
    engine.arm()
    if engine.is_notifier_called:
        await trio.lowlevel.cancel_shielded_checkpoint()
        return
    engine.is_notifier_waiting = True

    def abort(_: object) -> trio.lowlevel.Abort:
        engine.is_notifier_waiting = False
        return trio.lowlevel.Abort.SUCCEEDED

    await trio.lowlevel.wait_task_rescheduled(abort)
