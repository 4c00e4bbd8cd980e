"""A smaller program with the same verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from .program import Program, Step

# How many smaller programs are tried.
TRIES_MAX = 300


def smaller(program: Program) -> Iterator[Program]:
    """Programs that have less: phases, steps, links, or simpler steps; those that leave out most come first."""
    phases = program.phases
    size = len(phases) // 2
    while size:
        for start in range(0, len(phases), size):
            yield attrs.evolve(program, phases=phases[:start] + phases[start + size :])
        size //= 2
    for number, steps in enumerate(phases):
        if len(steps) > 1:
            for step in steps:
                kept = tuple(other for other in steps if other is not step)
                yield attrs.evolve(program, phases=(*phases[:number], kept, *phases[number + 1 :]))
    used = "".join(f" {step.on} {step.word} {step.makes} " for steps in phases for step in steps)
    if len(program.links) > 1 and not any(f"{letter}{len(program.links) - 1} " in used for letter in "splb"):
        yield attrs.evolve(program, links=program.links[:-1])
    for number, steps in enumerate(phases):
        for place, step in enumerate(steps):
            for simpler in simpler_steps(step):
                changed = (*steps[:place], simpler, *steps[place + 1 :])
                yield attrs.evolve(program, phases=(*phases[:number], changed, *phases[number + 1 :]))


def simpler_steps(step: Step) -> Iterator[Step]:
    """The same step with less to it."""
    if step.is_cancelled:
        yield attrs.evolve(step, is_cancelled=False)
    if step.mark:
        yield attrs.evolve(step, mark=0)
    for size in (1, 10):
        if step.size > size:
            yield attrs.evolve(step, size=size)


def shrink(program: Program, is_bad: Callable[[Program], bool]) -> Program:
    """Make a bad program smaller as long as it stays bad."""
    tries = 0
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for candidate in smaller(program):
            tries += 1
            if tries > TRIES_MAX:
                return program
            if is_bad(candidate):
                program, is_smaller = candidate, True
                break
    return program
