"""Play programs in a run, whichever it is, and note what happened: their traces."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from .calls import CALLS, HEARING, NEED_A_NUMBER, PLAIN, SENDING, peer_reads, plain
from .program import Program, Step
from .world import MakeStream, World

Trace = list[str]

# What a call may raise. Anything else ends the run, and the test.
EXPECTED = (OSError, ValueError, trio.BusyResourceError, trio.ClosedResourceError, trio.BrokenResourceError)

# A program whose calls do not end when they are cancelled, or whose tasks never come to rest.
PROGRAM_SECONDS_MAX = 20

# Sent to each Trio socket at the end: what comes to the next reader.
LAST_WORDS = b"<last>"

SHOWN_BYTES_MAX = 2000


def shown(value: object) -> str:
    """A result as a trace has it."""
    if isinstance(value, bytes) and len(value) > SHOWN_BYTES_MAX:
        return f"{len(value)} bytes, {value[:10]!r}..{value[-10:]!r}"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(shown, value)) + ")"
    return value if isinstance(value, str) else repr(value)


def shown_error(error: BaseException) -> str:
    """An error as a trace has it: its type and number, and those of its cause."""
    text = type(error).__name__
    if isinstance(error, OSError):
        text += f" errno {error.errno}"
    if isinstance(error.__cause__, OSError):
        text += f" from errno {error.__cause__.errno}"
    return text


@attrs.define(eq=False)
class Worker:
    """A task of the program, which makes the steps that it is given."""

    number: int
    ended: Trace
    world: World
    step: Step | None = None  # the one that it is making
    begun: int = 0  # in which phase
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    order: trio.Event = attrs.field(factory=trio.Event)

    async def work_freely(self, steps: Sequence[Step], workers: Sequence[Worker]) -> None:
        """Make these steps, one after the other, and note only the errors."""
        for self.step in steps:
            self.scope = trio.CancelScope()
            outcome = await self.make(self.step, workers)
            if "Error" in outcome and not self.step.call.startswith("peer"):
                self.ended.append(f"{self.step.call} raises {outcome}")
        self.step = None

    async def work(self, workers: Sequence[Worker]) -> None:
        """Make steps for ever."""
        while True:
            await self.order.wait()
            self.order = trio.Event()
            step = self.step
            assert step is not None
            self.scope = trio.CancelScope()
            outcome = await self.make(step, workers)
            self.step = None
            self.ended.append(f"{step} [{self.begun}] -> {outcome}")

    @staticmethod
    def cancel(step: Step, workers: Sequence[Worker]) -> str:
        """Cancel what another task waits for."""
        victim = workers[int(step.on[1:])]
        if victim.step is None:
            return "has nothing to cancel"
        victim.scope.cancel()
        return "done"

    def refusal(self, step: Step, workers: Sequence[Worker]) -> str:
        """Why a step is left out."""
        things = self.world.things
        if step.on not in things or (step.word.startswith(("l", "p")) and step.word not in things):
            return "is not there"
        if step.call in NEED_A_NUMBER and plain(things[step.on]).fileno() == -1:
            return "is closed"
        if step.call == "detach" and any(
            other.step and other.step.on == step.on for other in workers if other is not self
        ):
            # Trio leaves the others waiting for a number that is not their socket's any more; ours are told.
            return "is in use"
        return ""

    async def make(self, step: Step, workers: Sequence[Worker]) -> str:
        """Make one step, and say what came of it."""
        if step.call == "cancel":
            return self.cancel(step, workers)
        refusal = self.refusal(step, workers)
        if refusal:
            return refusal
        task: Any = trio.lowlevel.current_task()
        before = task._cancel_points, task._schedule_points
        outcome = "Cancelled"
        with self.scope as scope, self.noted(step) as note:
            if step.is_cancelled:
                scope.cancel()
            try:
                outcome = shown(note(await CALLS[step.call](self.world, step)))
            except EXPECTED as error:
                outcome = shown_error(error)
        after = task._cancel_points, task._schedule_points
        if step.call not in PLAIN and (after[0] == before[0] or after[1] == before[1]):
            outcome += " (no checkpoint)"
        return outcome

    @contextlib.contextmanager
    def noted(self, step: Step) -> Iterator[Callable[[object], object]]:
        """Note what a step sends, and that it receives; the function gets what it returns."""
        lines = self.world.lines
        outgoing = lines.from_(step.on) if step.call in SENDING else None
        incoming = lines.to(step.on) if step.call in HEARING else None
        with outgoing.sends(step.data) if outgoing else contextlib.nullcontext(lambda result: result) as note:
            with incoming.hears() if incoming else contextlib.nullcontext():
                yield note


async def settle(cushion: float) -> None:
    """Wait until nothing more happens."""
    await wait_all_tasks_blocked(cushion)
    await wait_all_tasks_blocked(cushion)


async def play(program: Program, make_stream: MakeStream, cushion: float) -> Trace:
    """The trace of one program."""
    trace: Trace = []
    world = World(make_stream)
    await world.open(program.links)
    try:
        with trio.move_on_after(PROGRAM_SECONDS_MAX) as patience:
            play_some = play_freely if program.is_free else play_in_phases
            await play_some(program, world, trace, cushion)
        if patience.cancelled_caught:
            trace.append("it did not end")
    finally:
        world.close()
    return trace


async def play_in_phases(program: Program, world: World, trace: Trace, cushion: float) -> None:
    """Note after each phase what ended in it, and at the end what is left."""
    async with trio.open_nursery() as nursery:
        ended: Trace = []
        workers = [Worker(number, ended, world) for number in range(program.tasks)]
        for worker in workers:
            nursery.start_soon(worker.work, workers)
        for number, steps in enumerate(program.phases):
            await play_phase(number, steps, workers, cushion)
            trace += [f"{number:2} {line}" for line in sorted(ended)]
            ended.clear()
        for worker in workers:
            worker.scope.cancel()
        await settle(cushion)
        trace += [f" cancelled at the end: {line}" for line in sorted(ended)]
        trace += await last_words(world, cushion)
        nursery.cancel_scope.cancel()


async def play_freely(program: Program, world: World, trace: Trace, cushion: float) -> None:
    """Note what no interleaving excuses: what was heard that was not sent so; and which errors there were."""
    ended: Trace = []
    workers = [Worker(number, ended, world) for number in range(program.tasks)]
    async with trio.open_nursery() as nursery:
        for worker in workers:
            steps = [step for phase in program.phases for step in phase if step.task == worker.number]
            nursery.start_soon(worker.work_freely, steps, workers)
        await settle(cushion)
        nursery.cancel_scope.cancel()
    await last_words(world, cushion)
    trace += sorted(set(ended)) + [line for line in world.lines.verdicts() if "WRONG" in line]


async def play_phase(number: int, steps: Sequence[Step], workers: Sequence[Worker], cushion: float) -> None:
    """Let each task that has a step begin it, and wait until nothing more happens."""
    for step in steps:
        worker = workers[step.task]
        if worker.step is not None:
            worker.ended.append(f"{step}: the task is not free")
        else:
            worker.step, worker.begun = step, number
            worker.order.set()
    await settle(cushion)
    await let_it_flow([step.on for step in steps if step.call == "peer_reads"], workers[0].world, cushion)


async def let_it_flow(names: Sequence[str], world: World, cushion: float) -> None:
    """Where the peer of a narrow link reads, let it read until nothing more is sent."""
    for name in names:
        while (
            name in world.narrow and world.things[name].fileno() != -1 and "something" in str(peer_reads(world, name))
        ):
            await settle(cushion)


async def last_words(world: World, cushion: float) -> Trace:
    """What is still there to be read, on both sides, when no task waits any more; and that an end is seen."""
    trace: Trace = []
    peers = {name: thing for name, thing in world.things.items() if name.startswith("p")}
    for name, peer in peers.items():
        line = world.lines.from_(name)
        with line.sends(LAST_WORDS) if line else contextlib.nullcontext(lambda result: result) as note:
            try:
                trace.append(f"   {name} is told {note(peer.send(LAST_WORDS))}")
            except OSError as error:
                trace.append(f"   {name} is told {shown_error(error)}")
    await settle(cushion)
    mine = {name: plain(thing) for name, thing in world.things.items() if name[0] in "sb"}
    for name, sock in mine.items():
        trace.append(f"   {name} still reads {await drained(world, name, sock, cushion)}")
    trace += last_reads("still", world, peers)
    await let_it_flow([*world.narrow], world, cushion)
    for sock in mine.values():
        sock.close()
    await settle(cushion)
    trace += last_reads("at last", world, peers)
    return trace + world.lines.verdicts()


def last_reads(when: str, world: World, peers: Mapping[str, Any]) -> Trace:
    """What each peer that is open can read now."""
    open_peers = [name for name, peer in peers.items() if peer.fileno() != -1]
    return [f"   {name} {when} reads {shown(peer_reads(world, name))}" for name in open_peers]


async def drained(world: World, name: str, sock: Any, cushion: float) -> str:
    """All that a Trio socket has to read, and how it ends."""
    received: list[bytes] = []
    end: list[str] = []
    is_stream = sock.type == trio.socket.SOCK_STREAM

    async def read() -> None:
        try:
            while True:
                data = await sock.recv(1000)
                if is_stream and not data:
                    end.append(" then the end")
                    return
                received.append(world.hear(name, data))
        except (OSError, trio.ClosedResourceError, trio.BusyResourceError) as error:
            end.append(f" then {shown_error(error)}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await settle(cushion)
        nursery.cancel_scope.cancel()
    return repr(b"".join(received) if is_stream else received) + "".join(end)


async def play_all(programs: Sequence[Program], make_stream: MakeStream, cushion: float) -> list[Trace]:
    """The traces of several programs, one after the other in one run."""
    return [await play(program, make_stream, cushion) for program in programs]
