"""The benchmark around the load generator: servers, rounds, ratios, reports. Nothing here asserts speed."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from . import __main__ as command_line
from .build import compiled, find_compiler
from .errors import BenchError, ServerError
from .idle import measure_idle
from .opponents import Opponent, ServerSettings, load_opponents
from .processes import LoadOptions, LoadResult, Placement, running_server
from .ratios import Summary, round_ratios, summarise, verdict
from .report import cell_entry, cell_text
from .rounds import Cell, Measured, Plan, Sample, measure_cell, placement_for, take_sample
from .syscalls import choose_tool, count_syscalls, parse_perf, parse_strace
from .usage import SOURCES, Usage, cpu_source, usage
from .workloads import WORKLOADS, Discipline, Shape

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="the load generator needs a C compiler")
needs_two_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="rate needs two CPUs")

TINY = {
    "echo": Shape(3, 64, pipeline=2),
    "udp_echo": Shape(3, 64, pipeline=2),
    "udp_receive": Shape(2, 64, pipeline=16),
    "bulk_receive": Shape(2, 50_000),
    "bulk_send": Shape(2, 50_000),
    "accept": Shape(3, 64),
}


def opponent(name: str) -> Opponent:
    """An opponent of the registry that can run here; else the test is skipped."""
    found = load_opponents()[name]
    reason = found.missing()
    if reason is not None:
        pytest.skip(reason)
    return found


def script(name: str, source: str) -> Opponent:
    """An opponent that is a few lines of Python."""
    return Opponent(name, name, lambda settings: [sys.executable, "-c", source])


# ----------------------------------------------------------------------------------------------------------
# Servers and workloads
# ----------------------------------------------------------------------------------------------------------


def check_tiny_run(name: str, workload: str, discipline: Discipline) -> None:
    shape = TINY[workload]
    options = LoadOptions(workload, shape, discipline, seconds=0.2, messages_max=300)
    with running_server(opponent(name), ServerSettings(workload, shape.message_bytes)) as server:
        result, used, _ = take_sample(server, options)
    assert result.messages > 0
    assert result.messages % (shape.pipeline if workload != "udp_receive" or discipline == "lockstep" else 1) == 0
    assert result.bytes == result.messages * shape.message_bytes
    assert 0 < result.seconds < 5
    assert 0 < used.cpu_seconds < 2 * result.seconds
    assert (result.latency_us is not None) == (discipline == "rate" and workload in ("echo", "udp_echo", "accept"))


@needs_compiler
@pytest.mark.parametrize(
    ("name", "workload"),
    [(name, workload) for name, known in load_opponents().items() for workload in sorted(known.workloads)],
)
def test_each_workload_runs(name: str, workload: str) -> None:
    """A server completes a tiny lockstep run of each workload that it has, with counts that agree with each other."""
    check_tiny_run(name, workload, "lockstep")


def test_opponents_stand_in_the_same_rounds() -> None:
    """Stock Trio, trio_rio both ways, uvloop both ways and C are known, in this order."""
    streams = [name for name, known in load_opponents().items() if "echo" in known.workloads]
    ours = ["trio_rio", "rio_stream", "rio_stream_task"]
    assert streams == ["trio", *ours, "uvloop_streams", "uvloop_protocol", "c_epoll"]


def test_each_way_to_accept_is_measured() -> None:
    """Trio's own server on both backends, trio_rio's, and Trio's on a RioListener stand in the same rounds."""
    accepting = [name for name, known in load_opponents().items() if "accept" in known.workloads]
    ours = ["trio_rio", "rio_stream", "rio_stream_task", "rio_listener"]
    assert accepting == ["trio", *ours, "uvloop_streams", "uvloop_protocol", "c_epoll"]


def test_datagrams_are_measured_one_by_one_and_in_batches() -> None:
    """Through trio.socket on both backends, and through a channel, for one peer and for many."""
    echoing = [name for name, known in load_opponents().items() if "udp_echo" in known.workloads]
    assert {"trio", "trio_rio", "rio_datagrams", "rio_datagrams_batch"} <= set(echoing)
    assert [shape.connections for shape in WORKLOADS["udp_echo"].shapes] == [1, 64]


def test_uvloop_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An opponent on uvloop that cannot run says which package to install."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    for name in ("uvloop_streams", "uvloop_protocol"):
        assert str(load_opponents()[name].missing()).endswith("Remedy: pip install uvloop")


@needs_compiler
@pytest.mark.parametrize("workload", WORKLOADS)
def test_each_workload_runs_at_rate(workload: str) -> None:
    """The C server completes a tiny rate run of the workload, with counts that agree with each other."""
    check_tiny_run("c_epoll", workload, "rate")


@needs_compiler
def test_the_pace_of_datagrams_is_kept() -> None:
    """One-way datagrams under rate come no faster than the pace that is asked for."""
    options = LoadOptions("udp_receive", Shape(1, 64), "rate", seconds=0.2, messages_per_second=2000)
    with running_server(opponent("c_epoll"), ServerSettings("udp_receive", 64)) as server:
        result, _, _ = take_sample(server, options)
    assert 0 < result.messages + result.lost <= 2000 * result.seconds + 1


def test_a_server_that_does_not_start_is_an_error_with_its_last_words() -> None:
    """What a server wrote before it died is in the error."""
    broken = script("broken", "import sys; sys.exit('no such luck')")
    with pytest.raises(ServerError, match=r"code 1 before it served(.|\n)*no such luck"):
        with running_server(broken, ServerSettings("echo", 64)):
            pass


def test_a_server_that_says_something_else_is_an_error() -> None:
    """A first line that is not JSON with a port is an error that shows the line."""
    with pytest.raises(ServerError, match="hello"):
        with running_server(script("chatty", "print('hello', flush=True)"), ServerSettings("echo", 64)):
            pass


def test_a_server_runs_where_it_is_told_to() -> None:
    """CPU, scheduling policy and environment are those that were asked for."""
    cpu = max(os.sched_getaffinity(0))
    told = script(
        "told",
        "import json, os, time; print(json.dumps({'port': 1, 'facts': {'cpus': list(os.sched_getaffinity(0)), "
        "'policy': os.sched_getscheduler(0), 'word': os.environ['WORD']}}), flush=True); time.sleep(60)",
    )
    with running_server(told, ServerSettings("echo", 64), Placement(cpu, None, True), {"WORD": "x"}) as server:
        assert server.facts == {"cpus": [cpu], "policy": os.SCHED_BATCH, "word": "x"}


# ----------------------------------------------------------------------------------------------------------
# Usage and statistics
# ----------------------------------------------------------------------------------------------------------


def test_cpu_time_of_a_process_counts_what_it_does() -> None:
    """The chosen source of CPU time agrees with the process's own clock."""
    _, read = cpu_source(os.getpid())
    before, own_before = usage(os.getpid(), read), os.times()
    while os.times().user - own_before.user < 0.1:
        pass
    used = usage(os.getpid(), read) - before
    own = os.times()
    assert used.cpu_seconds == pytest.approx(own.user + own.system - own_before.user - own_before.system, abs=0.05)


def cpu_times() -> list[float]:
    """The CPU time of this process, by each source that works here."""
    values = []
    for _, read in SOURCES:
        try:
            values.append(read(os.getpid()))
        except (OSError, ImportError):
            continue
    return values


def test_sources_of_cpu_time_agree() -> None:
    """Each source tells the same of some work, to the 10 ms of the coarsest and a little more."""
    before, end = cpu_times(), time.thread_time() + 0.1
    while time.thread_time() < end:
        pass
    used = [after - value for after, value in zip(cpu_times(), before, strict=True)]
    assert max(used) - min(used) < 0.1


def test_no_source_of_cpu_time_is_an_error() -> None:
    """A process that is not there is an error that names each source."""
    with pytest.raises(BenchError, match=r"process clock: .*; schedstat: .*; psutil: "):
        cpu_source(2**22 + 1)  # above the largest pid of Linux


def test_summary_of_known_numbers() -> None:
    """Median, extremes and the distance of the quartiles, both ends included."""
    assert summarise([4.0, 1.0, 3.0, 2.0, 5.0]) == Summary(5, 3.0, 1.0, 5.0, 2.0)
    assert summarise([7.0]) == Summary(1, 7.0, 7.0, 7.0, 0.0)
    assert summarise([]) is None


def test_ratios_are_taken_within_rounds() -> None:
    """A machine that is twice as slow in one round leaves the ratios alone; a round without its pair is left out."""
    assert round_ratios({0: 5.0, 1: 10.0, 2: 6.0, 4: 1.0}, {0: 10.0, 1: 20.0, 2: 10.0, 3: 9.0}) == [0.5, 0.5, 0.6]


def test_a_baseline_of_zero_gives_no_ratio() -> None:
    """Nothing is divided by zero."""
    assert round_ratios({0: 1.0, 1: 3.0}, {0: 0.0, 1: 2.0}) == [1.5]


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "expected"),
    [
        (0.5, 0.9, True, "better"),
        (0.5, 0.9, False, "worse"),
        (1.1, 1.2, True, "worse"),
        (1.1, 1.2, False, "better"),
        (0.9, 1.1, True, "unclear"),
        (0.9, 1.0, True, "unclear"),
    ],
)
def test_a_verdict_needs_every_round(low: float, high: float, lower_is_better: bool, expected: str) -> None:
    """Better or worse is said only when all rounds say the same."""
    assert verdict(Summary(3, (low + high) / 2, low, high, 0.0), lower_is_better=lower_is_better) == expected


def sample(number: int, messages: int, cpu_seconds: float) -> Sample:
    return Sample(number, 0, LoadResult(messages, messages * 64, 0.5, 0.1, 0, None), Usage(cpu_seconds, 50, 0))


def test_figures_of_a_known_sample() -> None:
    """CPU per message, messages per second and sleeps per message are what they should be; per MB likewise."""
    known = sample(0, 1000, 0.02)
    assert known.figures("message") == {
        "cpu_us_per_unit": pytest.approx(20),
        "units_per_second": pytest.approx(2000),
        "voluntary_switches_per_unit": pytest.approx(0.05),
    }
    assert known.figures("MB")["cpu_us_per_unit"] == pytest.approx(0.02e6 / 0.064)


def test_a_loss_is_shown_like_a_win() -> None:
    """The table has the gain and the verdict of an opponent that is slower, as of one that is faster."""
    cell = Cell("echo", Shape(1, 64), "lockstep")
    measured = {
        "trio": Measured(samples=[sample(0, 1000, 0.02), sample(1, 1000, 0.04)]),
        "slow": Measured(samples=[sample(0, 1000, 0.03), sample(1, 1000, 0.06)]),
        "fast": Measured(samples=[sample(0, 1000, 0.01), sample(1, 1000, 0.02)]),
    }
    entry = cell_entry(cell, measured, "trio")
    rows = {line.split()[0]: line.split()[1:] for line in cell_text(entry, str(cell)).splitlines()[3:]}
    assert (rows["slow"][4], rows["slow"][8]) == ("0.667", "worse")
    assert (rows["fast"][4], rows["fast"][8]) == ("2.00", "better")
    gains = {name: opponent["gain"] for name, opponent in entry["opponents"].items()}
    assert (gains["slow"]["median"], gains["fast"]["median"], gains["trio"]) == (pytest.approx(1 / 1.5), 2.0, None)
    assert rows["trio"][4:6] == ["1", "baseline"]


# ----------------------------------------------------------------------------------------------------------
# Runs
# ----------------------------------------------------------------------------------------------------------


@needs_compiler
def test_an_opponent_that_fails_is_reported_and_the_others_go_on() -> None:
    """A server that dies is left out with its last words; the other has all its samples."""
    dying = script(
        "dying",
        "import json, socket, sys; s = socket.create_server(('127.0.0.1', 0)); "
        "print(json.dumps({'port': s.getsockname()[1]}), flush=True); s.accept(); sys.exit('too much for me')",
    )
    cell = Cell("echo", Shape(1, 64), "lockstep")
    measured = measure_cell(cell, [opponent("c_epoll"), dying], Plan(rounds=2, seconds=0.02), lambda text: None)
    assert len(measured["c_epoll"].samples) == 2
    assert measured["dying"].failure is not None
    assert "dying FAILED" in cell_text(cell_entry(cell, measured, "c_epoll"), str(cell))


@needs_compiler
@pytest.mark.parametrize("discipline", ["lockstep", pytest.param("rate", marks=needs_two_cpus)])
def test_json_has_its_documented_fields(discipline: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every field that docs/maintainers/benchmarks.md names is in the JSON, and the first samples are not."""
    file = tmp_path / "result.json"
    arguments = f"--opponents trio c_epoll --workloads echo --connections 2 --rounds 2 --seconds 0.05 --json {file}"
    arguments += f" --discipline {discipline} --keep-disturbed"  # other tests may run at the same time
    assert command_line.main(arguments.split()) == 0
    assert f"echo, 2 connections, 64 B, {discipline}" in capsys.readouterr().out
    result = json.loads(file.read_text())
    assert set(result) == {"schema", "started_at", "arguments", "machine", "left_out", "cells"}
    machine = {"kernel", "cpu_count", "cpus_allowed", "python", "python_configured_with", "versions", "cpu_time_source"}
    assert machine <= set(result["machine"])
    (cell,) = result["cells"]
    assert (cell["workload"], cell["connections"], cell["message_bytes"], cell["pipeline"]) == ("echo", 2, 64, 1)
    assert {"discipline", "unit", "figure", "lower_is_better", "baseline"} <= set(cell)
    entry = cell["opponents"]["c_epoll"]
    assert set(entry) == {"facts", "failure", "figure", "ratio", "gain", "verdict", "latency_us", "samples", "rejected"}
    assert set(entry["ratio"]) == {"count", "median", "min", "max", "iqr"}
    assert [item["round"] for item in entry["samples"]] == [0, 1]
    assert set(entry["samples"][0]) == {"round", "position", "result", "used", "disturbances", "figures"}
    assert (entry["samples"][0]["result"]["latency_us"] is not None) == (discipline == "rate")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--opponents", "nobody"], "unknown opponent nobody; known: trio"),
        (["--workloads", "nothing"], "unknown workload nothing; known: echo"),
        (["--opponents", "c_epoll"], "the baseline trio is not among the opponents"),
        (["idle", "--opponents", "nobody"], "unknown opponent nobody"),
        (["syscalls", "--opponents", "nobody"], "unknown opponent nobody"),
    ],
)
def test_a_wrong_name_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is not known ends the command with exit code 2 and the names that are."""
    assert command_line.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_rate_needs_two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one CPU the rate discipline is refused, and lockstep is not."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert placement_for("lockstep", "normal") == Placement(3, 3)
    with pytest.raises(BenchError, match="two CPUs"):
        placement_for("rate", "normal")


def test_no_compiler_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a C compiler the error says what is missing and what to install."""
    monkeypatch.setenv("CC", "/nowhere/cc")
    with pytest.raises(BenchError, match=r"no C compiler found.*Remedy: install gcc"):
        compiled("load")


# ----------------------------------------------------------------------------------------------------------
# System calls and wake-ups
# ----------------------------------------------------------------------------------------------------------


def test_output_of_perf_is_understood() -> None:
    """Calls by name; one that was never made, or not counted, is left out; the rest of the total is ``other``."""
    text = "# started on Monday\n12,,syscalls:sys_enter_read,99,100.00,,\n0,,syscalls:sys_enter_pipe,99,100.00,,\n"
    text += "<not counted>,,syscalls:sys_enter_dup,0,0.00,,\n"
    assert parse_perf(text + "12,,raw_syscalls:sys_enter,99,100.00,,\n") == {"read": 12}
    assert parse_perf(text + "15,,raw_syscalls:sys_enter,99,100.00,,\n") == {"read": 12, "other": 3}


def test_output_of_strace_is_understood() -> None:
    """Calls by name, with a number of errors or without; head, rule and total are left out."""
    text = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 92.82    0.001642          96        17           sendto
  2.60    0.000046           1        30        13 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.001769          20        47        13 total
"""
    assert parse_strace(text) == {"sendto": 17, "recvfrom": 30}


def test_no_tool_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without perf and strace the error names both and the remedy."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BenchError, match=r"perf is not installed; strace is not installed\. Remedy: install strace"):
        choose_tool("auto")


@needs_compiler
@pytest.mark.parametrize("tool", ["perf", "strace"])
def test_system_calls_of_an_echo_are_counted(tool: str) -> None:
    """The C server makes exactly one recvfrom and one sendto for each message."""
    try:
        choose_tool(tool)
    except BenchError as error:
        pytest.skip(str(error))
    options = LoadOptions("echo", Shape(10, 64), seconds=0.1)
    counted = count_syscalls(opponent("c_epoll"), options, tool, {})
    assert counted["syscalls"]["sendto"] == counted["messages"]
    assert counted["syscalls"]["recvfrom"] == counted["messages"]
    assert counted["syscalls_total"] == sum(counted["syscalls"].values())


WAKES_UP = """
import json, selectors, socket
s = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"port": s.getsockname()[1]}), flush=True)
c, _ = s.accept()
c.sendall(c.recv(64))
while True:
    selectors.DefaultSelector().select(0.01)
"""


@needs_compiler
def test_wake_ups_of_an_idle_server_are_counted() -> None:
    """A server that looks around every 10 ms is seen to wake up."""
    assert measure_idle(script("restless", WAKES_UP), 1, 0.2, {}, settle_seconds=0.1)["voluntary_switches"] > 3


@needs_compiler
def test_an_idle_server_that_sleeps_has_no_wake_ups() -> None:
    """A server that only waits for events does not wake up, however many connections it has."""
    idle = measure_idle(opponent("c_epoll"), 50, 0.2, {}, settle_seconds=0.1)
    assert (idle["voluntary_switches"], idle["involuntary_switches"]) == (0, 0)


def test_the_floor_is_measured_and_bad_numbers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """``floor`` prints one figure above 0, and refuses numbers below 1."""
    assert command_line.main(["floor", "--connections", "2", "--messages", "20", "--rounds", "2"]) == 0
    figure = float(capsys.readouterr().out.split("I/O: ")[1].split()[0])
    assert figure > 0
    with pytest.raises(SystemExit):
        command_line.main(["floor", "--rounds", "0"])
