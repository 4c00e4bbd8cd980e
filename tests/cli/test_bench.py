"""``python -m trio_rio bench``: what it measures and prints, and what becomes of it when something is wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from trio_rio._cli.bench import compare, plot
from trio_rio._cli.bench.workloads import WORKLOADS, Workload
from trio_rio._cli.load import ConnectLoad, LoadError
from trio_rio._cli.main import main
from trio_rio._cli.rounds import Contestant, Sample, measure_in_turn, ratios, spread

from ..platforms import IS_WINDOWS, complaints

PROVIDER = "winsock" if IS_WINDOWS else "portable"
BENCH = (sys.executable, "-m", "trio_rio", "bench", "--provider", PROVIDER)

NUMBER = r" +[\d,.]+"
RATIO = r" +[\d.]+ \([\d.]+ to [\d.]+\)"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What a short run prints to a pipe 80 columns wide, and the file that it wrote."""
    file = tmp_path_factory.mktemp("bench") / "bench.json"
    done = subprocess.run(
        [*BENCH, "--seconds", "4", "--rounds", "2", "--json", file],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert complaints(done.stderr) == ""
    assert done.returncode == 0
    return done.stdout, file


def test_it_prints_a_table(measured: tuple[str, Path]) -> None:
    """Each workload has both servers with CPU time and rate, and the ratio of each with its spread."""
    blocks = [
        rf"{re.escape(workload.title)}\n"
        rf"  trio_rio {NUMBER}{NUMBER}\n  stock Trio{NUMBER}{NUMBER}\n  ratio {RATIO}{RATIO}\n"
        for workload in WORKLOADS.values()
    ]
    assert re.search("".join(blocks), measured[0])
    assert f"provider {PROVIDER}: " in measured[0]


def test_it_fits_into_eighty_columns(measured: tuple[str, Path]) -> None:
    """No line is longer, and none has a carriage return or an escape sequence where there is no terminal."""
    assert max(map(len, measured[0].splitlines())) <= 80
    assert not {"\r", "\x1b"} & set(measured[0])


def test_json_has_every_sample(measured: tuple[str, Path]) -> None:
    """--json writes all samples, and medians and ratios that follow from them."""
    report = json.loads(measured[1].read_text())
    assert report["provider"] == PROVIDER
    assert [one["name"] for one in report["workloads"]] == list(WORKLOADS)
    for one in report["workloads"]:
        ours, theirs = (one["samples"][name] for name in (compare.OURS, compare.STOCK))
        assert len(ours) == len(theirs) == 2
        pairs = zip(ours, theirs, strict=True)
        expected = [mine["messages_per_second"] / other["messages_per_second"] for mine, other in pairs]
        assert one["messages_per_second"]["ratios"] == expected
        assert all(sample["messages_per_second"] > 0 for sample in (*ours, *theirs))


def test_rounds_alternate() -> None:
    """After the first samples, which do not count, it is A B, B A, A B, B A."""
    order: list[str] = []

    def contestant(name: str) -> Contestant:
        def load(seconds: float) -> tuple[int, float]:
            order.append(name)
            return 1, seconds

        return Contestant(name, lambda: 0.0, load)

    samples = measure_in_turn([contestant("A"), contestant("B")], 4, 0.1, lambda _: None)
    assert "".join(order[2:]) == "ABBAABBA"
    assert [len(list_) for list_ in samples] == [4, 4]


def test_figures_of_a_sample() -> None:
    """CPU time is the difference of two readings by the messages between them, the rate by the time it really took."""
    readings: Iterator[float] = iter([1.0, 1.5])
    contestant = Contestant("A", lambda: next(readings), lambda _: (1000, 2.0))
    assert contestant.measure(1) == Sample(messages_per_second=500, cpu_microseconds_per_message=500)


def test_ratios_and_their_spread() -> None:
    """Ratios are those of the rounds; a round in which a coarse clock saw nothing has none."""
    assert ratios([1, 2, 3], [2, 0, 2]) == [0.5, 1.5]
    assert spread([0.5, 1.5, 0.7]) == "0.70 (0.50 to 1.50)"
    assert spread([]) == "too short to tell"


def test_a_changed_byte_is_found() -> None:
    """A server that does not send back what came fails the measurement of connections, too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(client.recv(64)[::-1])

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(LoadError, match=r"echo: 64 bytes instead of 64, different from byte \d"):
            ConnectLoad(listener.getsockname()[1], bytes(range(64))).run(1)
        thread.join()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json", "/nowhere/at/all"], "there is no folder"),
        (["--json", "."], "it is a folder"),
        (["--plot", "/nowhere/at/all.svg"], "there is no folder"),
    ],
)
def test_a_file_that_cannot_be_written_is_said_at_once(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured one line says why, and the exit code is 2."""
    assert main(["bench", *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_a_chart_needs_matplotlib(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without it one line says what to install, before anything is measured."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["bench", "--plot", "chart.svg"]) == 2
    assert capsys.readouterr() == ("", "trio_rio: --plot needs matplotlib: pip install matplotlib\n")


@pytest.mark.no_ledger("matplotlib keeps the files of its fonts open")
def test_a_chart_is_drawn(tmp_path: Path) -> None:
    """--plot draws what was measured, and refuses a name that says no kind of picture."""
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    result = compare.Result(WORKLOADS["udp"], [Sample(1000, 10.0)] * 2, [Sample(500, 20.0)] * 2)
    plot.draw([result], "a title", str(tmp_path / "chart.svg"))
    assert (tmp_path / "chart.svg").read_text().startswith("<?xml")
    assert "must end with" in (plot.problem("chart.carrier-pigeon") or "")
    assert plot.problem("chart.svg") is None


@pytest.mark.parametrize("option", [["--seconds", "0"], ["--rounds", "0"], ["--rounds", "x"], ["--workload", "tea"]])
def test_senseless_options_are_usage_errors(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A number or a name that makes no sense is refused, and the message says what would."""
    with pytest.raises(SystemExit) as caught:
        main(["bench", *option])
    assert caught.value.code == 2
    assert "must be a" in capsys.readouterr().err or option[0] == "--workload"


@pytest.mark.skipif(IS_WINDOWS, reason="has no such program")
def test_a_server_that_does_not_start_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1, and one line says which one."""
    monkeypatch.setattr(sys, "executable", shutil.which("true"))
    assert main(["bench"]) == 1
    assert capsys.readouterr().err == "trio_rio bench: the server on trio_rio did not start\n"


def test_a_server_that_ends_is_said() -> None:
    """What is asked of a server that has gone is an error, and no hang."""
    with compare.running_servers(PROVIDER) as servers:
        servers.ours.process.kill()
        servers.ours.process.wait()
        with pytest.raises(LoadError, match="ended before its time"):
            servers.ours.ask()


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=list(WORKLOADS))
def test_every_workload_loads_both(workload: Workload) -> None:
    """Each workload moves messages on either server, and leaves it fit for more."""
    with compare.running_servers(PROVIDER) as servers:
        result = servers.compare(workload, 1, 0.05, lambda _: None)
    assert all(sample.messages_per_second > 0 for sample in (*result.ours, *result.stock))


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
def test_an_interrupt_is_clean() -> None:
    """Ctrl-C while it measures: exit code 130, no traceback, and no server is left."""
    with subprocess.Popen(BENCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "each second" not in process.stdout.readline():
            pass
        servers = psutil.Process(process.pid).children()
        assert len(servers) == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == ""
    assert not any(server.is_running() for server in servers)
