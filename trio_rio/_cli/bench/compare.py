"""The comparison: both servers, the load, and what came of it."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from ..processes import ServerProcess, server_process
from ..rounds import Contestant, Sample, measure_in_turn, ratios, spread
from .workloads import Workload

OURS, STOCK = "trio_rio", "stock Trio"

#: The figures of a sample, and their place in the table.
FIGURES = ("cpu_microseconds_per_message", "messages_per_second")


@attrs.frozen
class Result:
    """One workload: the samples of both, one of each for each round."""

    workload: Workload
    ours: list[Sample]
    stock: list[Sample]

    def medians(self, figure: str) -> tuple[float, float]:
        """Of us, and of stock Trio."""
        ours, theirs = ([getattr(sample, figure) for sample in samples] for samples in (self.ours, self.stock))
        return statistics.median(ours), statistics.median(theirs)

    def ratios(self, figure: str) -> list[float]:
        """Ours by theirs, for each round."""
        return ratios(
            [getattr(sample, figure) for sample in self.ours], [getattr(sample, figure) for sample in self.stock]
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every sample, and what the table shows."""
        summary = {
            figure: dict(zip((OURS, STOCK), self.medians(figure), strict=True)) | {"ratios": self.ratios(figure)}
            for figure in FIGURES
        }
        samples = {OURS: list(map(attrs.asdict, self.ours)), STOCK: list(map(attrs.asdict, self.stock))}
        return {**attrs.asdict(self.workload), **summary, "samples": samples}

    def lines(self) -> list[str]:
        """A block of the table: the medians of both, and their ratio with its spread."""
        (cpu, stock_cpu), (rate, stock_rate) = map(self.medians, FIGURES)
        cpus, rates = (spread(self.ratios(figure)) for figure in FIGURES)
        return [
            self.workload.title,
            row(OURS, f"{cpu:9.1f}", f"{rate:9,.0f}"),
            row(STOCK, f"{stock_cpu:9.1f}", f"{stock_rate:9,.0f}"),
            row("ratio", f"{'':5}{cpus}", f"{'':5}{rates}"),
        ]


def row(name: str, cpu: str, rate: str) -> str:
    """A line of the table."""
    return f"  {name:<12}{cpu:<31}{rate}".rstrip()


HEADING = row("", "    CPU of the server, us each", "    each second")


@attrs.frozen
class Servers:
    """Both servers, under way at the same time."""

    ours: ServerProcess
    stock: ServerProcess

    @property
    def provider(self) -> tuple[str, str]:
        """What serves ours, and why."""
        return self.ours.said["provider"], self.ours.said["because"]

    def compare(self, workload: Workload, rounds: int, duration_seconds: float, note: Callable[[str], None]) -> Result:
        """Measure one workload; ``duration_seconds`` is that of a sample."""
        with contextlib.ExitStack() as stack:
            contestants = [
                Contestant(
                    name,
                    lambda server=server: server.ask()["cpu_seconds"],  # type: ignore[misc]
                    stack.enter_context(workload.load_on(server.said)),
                )
                for name, server in ((OURS, self.ours), (STOCK, self.stock))
            ]
            return Result(workload, *measure_in_turn(contestants, rounds, duration_seconds, note))


@contextlib.contextmanager
def running_servers(provider: str | None) -> Iterator[Servers]:
    """Both servers; they are gone when the block is left.

    Raises:
      LoadError: one did not start.
    """
    module = "trio_rio._cli.bench.server"
    with (
        server_process(OURS, module, "trio_rio", *([provider] if provider else [])) as ours,
        server_process(STOCK, module, "trio") as stock,
    ):
        yield Servers(ours, stock)


def sample_seconds(total_seconds: float, workloads: Sequence[Workload], rounds: int) -> float:
    """How long a sample may be, so that all of them take ``total_seconds``."""
    return total_seconds / (len(workloads) * 2 * (rounds + 1))
