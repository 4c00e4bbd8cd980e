"""The notifier: one task per run that collects completions.

Facts. A completion queue notifies once per RIONotify, and at once if it holds something. So "dequeue until empty, then
arm" loses no wake-up, and as long as results keep coming nobody needs to arm, wait, or enter the kernel.

Consequence. While there is work the notifier stays in the run queue and polls; only when a dequeue came back empty it
arms and sleeps. Between a dequeue and the arming nothing may block.

Decision. A system task. Trio cancels those when the main task is done, but other system tasks may still wait for
requests, which end only with their completions: so the notifier then stops taking new requests and goes on, shielded,
until nobody waits. After that sockets go Trio's own way.

::

          ┌────────── results ──────────┐
          ▼                             │
    ┌──────────┐   empty   ┌─────┐   ┌──────┐  packet
    │ dequeue  │ ────────▶ │ arm │ ─▶│ wait │ ────────▶ dequeue
    └──────────┘           └─────┘   └──────┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from ._engine import Engine


def start_notifier(engine: Engine) -> None:
    """Start the notifier of an engine whose run has just made its first channel.

    At the very end of a run no system task can be started any more; then the engine takes no requests.
    """
    try:
        engine.notifier_task = trio.lowlevel.spawn_system_task(_notify, engine, name="trio_rio notifier")
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
            while engine.has_waiters():
                await _step(engine)
        raise
    finally:
        engine.notifier_task = None
        engine.on_notifier_exit()


async def _step(engine: Engine) -> None:
    if engine.turn():
        await trio.lowlevel.cancel_shielded_checkpoint()
        return
    engine.arm()
    engine.is_notifier_waiting = True

    def abort(_: object) -> trio.lowlevel.Abort:
        engine.is_notifier_waiting = False
        return trio.lowlevel.Abort.SUCCEEDED

    await trio.lowlevel.wait_task_rescheduled(abort)
