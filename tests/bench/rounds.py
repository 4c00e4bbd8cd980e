"""Measure: rounds in which every opponent is sampled once, in random order.

A server lives through all rounds of its cell. Its first sample is thrown away: caches, memory and the
interpreter's specialisation are not yet what they will be.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from .errors import BenchError
from .opponents import Opponent, ServerSettings
from .preemption import Meter, disturbances
from .processes import LoadOptions, LoadResult, Placement, Server, connected_generator, running_server
from .usage import Usage
from .workloads import WORKLOADS, Discipline, Shape

Scheduling: TypeAlias = Literal["batch", "normal"]
SCHEDULINGS: tuple[Scheduling, ...] = ("normal", "batch")
BYTES_PER_MB = 1_000_000


@attrs.frozen
class Cell:
    """One thing to measure: a workload, how much of it at once, and the discipline."""

    workload: str
    shape: Shape
    discipline: Discipline

    def __str__(self) -> str:
        shape = self.shape
        pipeline = f", pipeline {shape.pipeline}" if shape.pipeline > 1 else ""
        connections = "1 connection" if shape.connections == 1 else f"{shape.connections} connections"
        return f"{self.workload}, {connections}, {shape.message_bytes} B{pipeline}, {self.discipline}"


@attrs.frozen
class Plan:
    """How to measure.

    Args:
      rounds: samples of each opponent that count.
      seconds: how long a sample is.
      scheduling: of the server under lockstep: ``normal``, or ``batch`` (SCHED_BATCH), where a message that
        wakes it does not interrupt the generator, so that one wake-up sees a whole round for certain.
      seed: of the order within rounds.
      environment: added to that of the servers.
      messages_per_second: pace of one-way datagrams under rate; 0 for full speed.
      timeout_seconds: how long an answer may take.
      attempts: under rate, samples to take of an opponent in a round until one is not disturbed.
      keeps_disturbed: whether a sample counts although it was disturbed.
    """

    rounds: int = 7
    seconds: float = 0.5
    scheduling: Scheduling = "normal"
    seed: int = 0
    environment: Mapping[str, str] = attrs.field(factory=dict)
    messages_per_second: float = 0.0
    timeout_seconds: float = 5.0
    attempts: int = 5
    keeps_disturbed: bool = False


@attrs.frozen
class Sample:
    """One opponent in one round.

    Args:
      round: its number, from 0.
      position: its place in the order of that round, from 0.
      result: what the load generator saw.
      used: by the server, all threads, in the same time.
      disturbances: what others did to it, in words; looked for under rate only.
    """

    round: int
    position: int
    result: LoadResult
    used: Usage
    disturbances: tuple[str, ...] = ()

    def units(self, unit: str) -> float:
        """How many messages, or megabytes of 10**6 bytes."""
        return self.result.messages if unit == "message" else self.result.bytes / BYTES_PER_MB

    def figures(self, unit: str) -> dict[str, float]:
        """The sample per ``unit``: CPU microseconds, units per second, and voluntary switches."""
        units = self.units(unit)
        if not units or not self.result.seconds:
            raise BenchError("a sample without a single message: give it more --seconds")
        return {
            "cpu_us_per_unit": self.used.cpu_seconds * 1e6 / units,
            "units_per_second": units / self.result.seconds,
            "voluntary_switches_per_unit": self.used.voluntary_switches / units,
        }


@attrs.define
class Measured:
    """One opponent in one cell: its samples, those that do not count, or why there are none any more."""

    facts: Mapping[str, Any] = attrs.field(factory=dict)
    samples: list[Sample] = attrs.field(factory=list)
    rejected: list[Sample] = attrs.field(factory=list)
    failure: str | None = None

    def accept(self, sample: Sample, plan: Plan) -> bool:
        """Take a sample, or put it aside because it was disturbed."""
        is_good = plan.keeps_disturbed or not sample.disturbances
        (self.samples if is_good else self.rejected).append(sample)
        return is_good


def placement_for(discipline: Discipline, scheduling: Scheduling) -> Placement:
    """The CPUs: the same for both processes under lockstep, one for each under rate.

    Raises:
      BenchError: rate on a machine with one CPU.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if discipline == "lockstep":
        return Placement(cpus[-1], cpus[-1], server_is_batch=scheduling == "batch")
    if len(cpus) < 2:
        raise BenchError("the rate discipline needs two CPUs, one for the server and one for the generator")
    return Placement(cpus[-1], cpus[-2])


def take_sample(
    server: Server, options: LoadOptions, placement: Placement | None = None
) -> tuple[LoadResult, Usage, list[str]]:
    """Drive a server once; its usage counts between the warm connections and the last answer.

    Args:
      server: to be driven.
      options: for the load generator.
      placement: of both; anywhere by default. Disturbances are looked for when each has a CPU for itself.

    Returns:
      what the generator saw, what the server used, and what disturbed them, in words.

    Raises:
      LoadError: the server was at fault.
      ServerError: it ended.
    """
    placement = placement or Placement()
    try:
        with connected_generator(server.port, options, placement.generator_cpu) as generator:
            of_generator = Meter("generator", generator.pid, placement.generator_cpu)
            of_server = Meter("server", server.pid, placement.server_cpu)
            result = generator.run()
            # It spins where it takes latencies. The server first: it may have something to do when a sample is over.
            watched = [of_server.watched(), of_generator.watched(never_sleeps=result.latency_us is not None)]
    except BenchError:
        server.check()  # its own last words say more
        raise
    found = disturbances(watched, result.seconds) if placement.is_apart else []
    return result, watched[0].used, found


def sample_once(measured: Measured, plan: Plan, take: Callable[[], Sample]) -> None:
    """One sample of one opponent; one more, up to the plan's number, while others disturb it."""
    for _ in range(plan.attempts):
        try:
            sample = take()
        except BenchError as error:
            measured.failure = str(error)
            return
        if sample.round < 0 or measured.accept(sample, plan):
            return


def _never_clean(measured: Measured) -> str:
    return (
        f"each of {len(measured.rejected)} samples was disturbed, the last one because "
        f"{'; '.join(measured.rejected[-1].disturbances)}. Remedy: a quiet machine, or --keep-disturbed"
    )


def measure_cell(
    cell: Cell, opponents: Sequence[Opponent], plan: Plan, progress: Callable[[str], None]
) -> dict[str, Measured]:
    """All opponents in one cell, alternately. One that fails is left out of the later rounds, and says why."""
    placement = placement_for(cell.discipline, plan.scheduling)
    order = random.Random(f"{plan.seed} {cell}")
    options = LoadOptions(
        cell.workload,
        cell.shape,
        cell.discipline,
        plan.seconds,
        messages_per_second=plan.messages_per_second,
        timeout_seconds=plan.timeout_seconds,
    )
    settings = ServerSettings(cell.workload, cell.shape.message_bytes)

    def take(server: Server, number: int, position: int) -> Sample:
        result, used, found = take_sample(server, options, placement)
        sample = Sample(number, position, result, used, tuple(found))
        sample.figures(WORKLOADS[cell.workload].unit)  # a sample that has none is an error here, not in the report
        return sample

    measured = {opponent.name: Measured() for opponent in opponents}
    servers: dict[str, Server] = {}
    with contextlib.ExitStack() as stack:
        for opponent in opponents:
            try:
                server = running_server(opponent, settings, placement, plan.environment)
                servers[opponent.name] = stack.enter_context(server)
                measured[opponent.name].facts = servers[opponent.name].facts
            except BenchError as error:
                measured[opponent.name].failure = str(error)
        for number in range(-1, plan.rounds):
            progress(f"{cell}: {'first samples' if number < 0 else f'round {number + 1} of {plan.rounds}'}")
            names = [name for name in servers if measured[name].failure is None]
            order.shuffle(names)
            for position, name in enumerate(names):
                sample_once(measured[name], plan, functools.partial(take, servers[name], number, position))
    for each in measured.values():
        if each.failure is None and not each.samples:
            each.failure = _never_clean(each)
    return measured
