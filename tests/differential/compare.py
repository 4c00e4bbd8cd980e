"""The verdict: which programs leave a trace on trio_rio that stock Trio never leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from .generate import generate
from .modes import Mode, play_on_stock
from .play import Trace
from .program import Program
from .rules import explained, is_excused
from .shrink import shrink

# How many programs share a run.
BATCH = 50

# How often a suspect is played: at full speed, and slowly, with this many seconds of silence after each phase.
FAST_PLAYS = (0.0, 40, 5)  # cushion, plays on stock, plays on trio_rio
SLOW_PLAYS = (0.01, 8, 3)
LAST_PLAYS = (0.0, 150, 0)


@attrs.frozen
class Difference:
    """A program that is not as on stock."""

    name: str  # of the program
    program: Program
    mode: Mode
    expected: Trace  # one of stock's, the one that is most like it
    found: Trace

    def __str__(self) -> str:
        lines = [f"{self.name} on {self.mode}:", str(self.program), "  stock Trio (-) and this (+):"]
        lines += [f"    {line}" for line in changes(self.expected, self.found)]
        return "\n".join([*lines, f"  {self.program!r}"])

    @property
    def kind(self) -> str:
        """The first line that differs, without names and numbers: differences of a kind have the same."""
        return next(iter(changes(self.expected, self.found)), "only in company")


def changes(expected: Trace, found: Trace) -> list[str]:
    """The lines that only one of two traces has."""
    only = [(line, f"- {line}") for line in expected if line not in found]
    return [text for _, text in only + [(line, f"+ {line}") for line in found if line not in expected]]


def nearest(known: Sequence[Trace], found: Trace) -> Trace:
    """The trace that has most lines of another."""
    return min(known, key=lambda trace: len(changes(trace, found)))


def is_known(program: Program, mode: Mode, known: Sequence[Trace], found: Trace) -> bool:
    """Whether stock leaves such a trace, apart from what differs by design."""
    if program.is_free:
        errors = {line for trace in known for line in trace}
        return all(line in errors or is_excused(program, mode, line) for line in found)
    return found in known or any(explained(program, mode, trace, found) for trace in known)


def confirm(program: Program, mode: Mode, known: list[Trace]) -> tuple[Trace, Trace] | None:
    """Play a suspect again: a trace that stock never leaves, and stock's nearest; ``None`` if there is none."""
    found: Trace | None = None
    for cushion, stock_plays, plays in (FAST_PLAYS, SLOW_PLAYS):
        known += play_on_stock([program] * stock_plays, cushion)
        traces = mode.play([program] * plays, cushion)
        found = next((trace for trace in traces if not is_known(program, mode, known, trace)), None)
        if found is None:
            return None
    assert found is not None
    cushion, stock_plays, _ = LAST_PLAYS
    known += play_on_stock([program] * stock_plays, cushion)
    return None if is_known(program, mode, known, found) else (nearest(known, found), found)


def name_of(seed: int, number: int) -> str:
    """The name of a program, by which it can be played again."""
    return f"{seed}:{number}"


def batch(seed: int, first: int, count: int) -> tuple[list[str], list[Program]]:
    """Programs of a seed that share their runs, and their names."""
    numbers = range(first, first + count)
    return [name_of(seed, number) for number in numbers], [generate(seed, number) for number in numbers]


def shrunk(difference: Difference) -> Difference:
    """The same difference in a smaller program."""
    program = shrink(difference.program, lambda candidate: confirm(candidate, difference.mode, []) is not None)
    confirmed = confirm(program, difference.mode, [])
    if confirmed is None:
        return difference
    return attrs.evolve(difference, program=program, expected=confirmed[0], found=confirmed[1])


def suspects(
    names: Sequence[str], programs: Sequence[Program], known: Sequence[list[Trace]], mode: Mode
) -> Iterator[Difference]:
    """Play some programs in one mode, and those that leave another trace than these of stock again."""
    for name, program, traces, found in zip(names, programs, known, mode.play(programs, 0.0), strict=True):
        if not is_known(program, mode, traces, found):
            confirmed = confirm(program, mode, traces)
            if confirmed is not None:
                yield Difference(name, program, mode, *confirmed)


def differences(names: Sequence[str], programs: Sequence[Program], modes: Sequence[Mode]) -> Iterator[Difference]:
    """Play some programs on stock, and in each mode."""
    known = [[trace] for trace in play_on_stock(programs, 0.0)]
    for mode in modes:
        yield from suspects(names, programs, known, mode)
