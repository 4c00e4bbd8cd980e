"""The two-CPU discipline: clean samples, disturbed samples, and latencies. Nothing here asserts speed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import attrs
import pytest

from .build import find_compiler
from .opponents import ServerSettings, load_opponents
from .preemption import CpuTime, Watched, disturbances, parse_cpu_time
from .processes import LoadOptions, LoadResult, Placement, running_server
from .report import cell_entry, cell_text
from .rounds import Cell, Measured, Plan, Sample, measure_cell, placement_for, sample_once, take_sample
from .usage import Usage
from .workloads import Shape

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="the load generator needs a C compiler")
needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="rate needs two CPUs")

CELL = Cell("echo", Shape(2, 64), "rate")


def watched(
    involuntary: int = 0, used: float = 0.5, busy: float = 0.5, stolen: float = 0.0, never_sleeps: bool = False
) -> Watched:
    return Watched("server", Usage(used, 100, involuntary), CpuTime(busy, stolen), never_sleeps)


def sample(number: int, messages: int, p50: float, *found: str) -> Sample:
    latency = {"count": messages, "p50": p50, "p99": 2 * p50, "p99_9": 3 * p50, "max": 4 * p50}
    return Sample(number, 0, LoadResult(messages, messages * 64, 0.5, 0.1, 0, latency), Usage(0.1, 9, 0), found)


def test_counters_of_a_cpu_are_read() -> None:
    """Busy is all but idle and waiting, of the CPU that is asked for; what is not there counts as nothing."""
    text = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 100 20 30 999 999 4 6 50 0 0\n"
    step = 1 / os.sysconf("SC_CLK_TCK")
    assert attrs.astuple(parse_cpu_time(text, 1)) == pytest.approx((160 * step, 50 * step))
    assert parse_cpu_time(text, 11) == CpuTime(0.0, 0.0)


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (watched(involuntary=300), "the server was taken off its CPU 300 times in 1 s"),
        (watched(used=0.9, busy=0.9, never_sleeps=True), "the server was without its CPU for 0.100 of 1 s"),
        (watched(used=0.5, busy=0.8), "others used the server's CPU for 0.30 of 1 s"),
        (watched(stolen=0.4), "the host took the server's CPU away for 0.40 of 1 s"),
    ],
)
def test_each_kind_of_disturbance_is_told(seen: Watched, reason: str) -> None:
    """Preemption, lost time, other work on the CPU, and a host that took it away: each has a sentence of its own."""
    assert disturbances([seen], 1.0) == [reason]


def test_a_quiet_sample_is_clean() -> None:
    """What the kernel itself does on a quiet machine, and the coarse steps of its counters, are no disturbance."""
    assert disturbances([watched(involuntary=100, used=0.5, busy=0.52, stolen=0.01)], 1.0) == []
    assert disturbances([watched(involuntary=100, used=0.99, busy=1.0, never_sleeps=True)], 1.0) == []


def test_a_disturbed_sample_is_taken_again() -> None:
    """A sample that was disturbed does not count; the first clean one of the round does."""
    measured = Measured()
    samples = iter([sample(0, 1, 9.0, "noise"), sample(0, 2, 9.0, "noise"), sample(0, 3, 9.0), sample(0, 4, 9.0)])
    sample_once(measured, Plan(attempts=5), lambda: next(samples))
    assert [each.result.messages for each in measured.rejected] == [1, 2]
    assert [each.result.messages for each in measured.samples] == [3]


def test_attempts_come_to_an_end() -> None:
    """A round that is disturbed in each attempt has no sample, and the next round goes on."""
    measured = Measured()
    samples = iter([sample(0, number, 9.0, "noise") for number in range(9)])
    sample_once(measured, Plan(attempts=3), lambda: next(samples))
    assert (len(measured.samples), len(measured.rejected), measured.failure) == (0, 3, None)


def test_disturbed_samples_can_be_kept() -> None:
    """With ``keeps_disturbed`` the first sample counts, whatever happened to it."""
    measured = Measured()
    sample_once(measured, Plan(keeps_disturbed=True), lambda: sample(0, 1, 9.0, "noise"))
    assert (len(measured.samples), len(measured.rejected)) == (1, 0)


@pytest.fixture
def busy_cpus() -> Iterator[None]:
    """On each of the two CPUs of the rate discipline somebody else computes."""
    placement = placement_for("rate", "normal")
    source = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); print(flush=True)\nwhile True: pass"
    processes = [
        subprocess.Popen([sys.executable, "-c", source, str(cpu)], stdout=subprocess.PIPE)
        for cpu in (placement.server_cpu, placement.generator_cpu)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@needs_compiler
@needs_two_cpus
def test_a_competitor_is_noticed(busy_cpus: None) -> None:
    """While another process wants both CPUs, a sample is a disturbed one, on the side of both processes."""
    placement = placement_for("rate", "normal")
    with running_server(load_opponents()["c_epoll"], ServerSettings("echo", 64), placement) as server:
        _, _, found = take_sample(server, LoadOptions("echo", Shape(10, 64), "rate", 0.3), placement)
    assert any("the server" in reason for reason in found)
    assert any("the generator" in reason for reason in found)


@needs_compiler
def test_one_cpu_for_both_is_no_disturbance() -> None:
    """Under lockstep the two processes take turns by design, so nothing is looked for."""
    placement = placement_for("lockstep", "normal")
    with running_server(load_opponents()["c_epoll"], ServerSettings("echo", 64), placement) as server:
        _, used, found = take_sample(server, LoadOptions("echo", Shape(10, 64), seconds=0.1), placement)
    assert (used.cpu_seconds > 0, found) == (True, [])


@needs_compiler
@needs_two_cpus
@pytest.mark.parametrize("workload", ["echo", "accept"])
def test_a_run_has_rate_and_latencies(workload: str) -> None:
    """Each sample has messages per second, p50 and p99, and the time that the generator spun is not its work."""
    cell = Cell(workload, Shape(3, 64), "rate")
    plan = Plan(rounds=1, seconds=0.1, keeps_disturbed=True)
    measured = measure_cell(cell, [load_opponents()["c_epoll"]], plan, lambda text: None)
    entry = cell_entry(cell, measured, "trio")["opponents"]["c_epoll"]
    assert entry["figure"]["median"] > 0
    assert 0 < entry["latency_us"]["p50"]["figure"]["median"] <= entry["latency_us"]["p99"]["figure"]["median"]
    (taken,) = measured["c_epoll"].samples
    assert 0 <= taken.result.generator_cpu_seconds < taken.result.seconds


@needs_compiler
@needs_two_cpus
def test_no_clean_sample_is_a_failure_that_says_why(busy_cpus: None) -> None:
    """An opponent without a single clean sample has no figure; its row says what disturbed it and what to do."""
    plan = Plan(rounds=1, seconds=0.2, attempts=1)
    measured = measure_cell(CELL, [load_opponents()["c_epoll"]], plan, lambda text: None)
    text = cell_text(cell_entry(CELL, measured, "trio"), str(CELL))
    assert "c_epoll FAILED: each of 1 samples was disturbed, the last one because" in text
    assert "Remedy: a quiet machine, or --keep-disturbed" in text


def test_latencies_are_compared_within_rounds() -> None:
    """p50 and p99 stand beside the rate, each as a figure and divided by the baseline's of the same round."""
    measured = {
        "trio": Measured(samples=[sample(0, 1000, 20.0), sample(1, 1000, 40.0)]),
        "other": Measured(samples=[sample(0, 2000, 10.0), sample(1, 2000, 20.0)], rejected=[sample(0, 1, 9.0, "x")]),
    }
    entry = cell_entry(CELL, measured, "trio")
    other = entry["opponents"]["other"]
    assert (other["ratio"]["median"], other["verdict"]) == (2.0, "better")
    assert (other["latency_us"]["p50"]["ratio"]["median"], other["latency_us"]["p99"]["verdict"]) == (0.5, "better")
    assert entry["opponents"]["trio"]["latency_us"]["p50"]["ratio"] is None
    row = next(line.split() for line in cell_text(entry, str(CELL)).splitlines() if line.split()[0] == "other")
    assert row[-7:-3] == ["15.00", "0.500", "30.00", "0.500"]
    assert row[-1] == "1"


def test_placement_apart_needs_two_numbers() -> None:
    """Two processes have a CPU each only when both are pinned, and not to the same one."""
    assert Placement(0, 1).is_apart
    assert not any(each.is_apart for each in (Placement(), Placement(0, 0), Placement(0, None), Placement(None, 0)))
