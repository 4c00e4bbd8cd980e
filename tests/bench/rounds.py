"""Measure: rounds in which every opponent is sampled once, in random order.

A server lives through all rounds of its cell. Its first sample is thrown away: caches, memory and the
interpreter's specialisation are not yet what they will be.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from .errors import BenchError
from .opponents import Opponent, ServerSettings
from .processes import LoadOptions, LoadResult, Placement, Server, connected_generator, running_server
from .usage import Usage, cpu_source, usage
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
    """

    rounds: int = 7
    seconds: float = 0.5
    scheduling: Scheduling = "normal"
    seed: int = 0
    environment: Mapping[str, str] = attrs.field(factory=dict)
    messages_per_second: float = 0.0
    timeout_seconds: float = 5.0


@attrs.frozen
class Sample:
    """One opponent in one round.

    Args:
      round: its number, from 0.
      position: its place in the order of that round, from 0.
      result: what the load generator saw.
      used: by the server, all threads, in the same time.
    """

    round: int
    position: int
    result: LoadResult
    used: Usage

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
    """One opponent in one cell: its samples, or why there are none any more."""

    facts: Mapping[str, Any] = attrs.field(factory=dict)
    samples: list[Sample] = attrs.field(factory=list)
    failure: str | None = None


def placement_for(discipline: Discipline, scheduling: Scheduling) -> Placement:
    """The CPUs: the same for both processes under lockstep, two under rate.

    Raises:
      BenchError: rate on a machine with one CPU.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if discipline == "lockstep":
        return Placement(cpus[-1], cpus[-1], server_is_batch=scheduling == "batch")
    if len(cpus) < 2:
        raise BenchError("the rate discipline needs two CPUs, one for the server and one for the generator")
    return Placement(cpus[-1], cpus[-2])


def take_sample(server: Server, options: LoadOptions, cpu: int | None) -> tuple[LoadResult, Usage]:
    """Drive a server once; its usage counts between the warm connections and the last answer.

    Raises:
      LoadError: the server was at fault.
      ServerError: it ended.
    """
    _, read_cpu_seconds = cpu_source(server.pid)
    try:
        with connected_generator(server.port, options, cpu) as generator:
            before = usage(server.pid, read_cpu_seconds)
            result = generator.run()
            used = usage(server.pid, read_cpu_seconds) - before
    except BenchError:
        server.check()  # its own last words say more
        raise
    return result, used


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
                try:
                    sample = Sample(number, position, *take_sample(servers[name], options, placement.generator_cpu))
                    sample.figures(WORKLOADS[cell.workload].unit)
                except BenchError as error:
                    measured[name].failure = str(error)
                else:
                    if number >= 0:
                        measured[name].samples.append(sample)
    return measured
