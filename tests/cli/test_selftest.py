"""``python -m trio_rio selftest``: the report, on each provider, and what becomes of checks that fail."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Literal

import pytest

import trio_rio
from trio_rio._cli import selftest as _selftest
from trio_rio._cli.exits import EXIT_USAGE
from trio_rio._cli.main import main
from trio_rio._cli.selftest import bench, runs, speed
from trio_rio.rio import types

from ..platforms import IS_WINDOWS, is_wine

# Breaks rules of RIO to see what comes of it, which the Windows lane counts as misuse.
BREAKS_RULES = ("U20",)
PROBES = [name for name in _selftest.PROBES if not (is_wine() and name in BREAKS_RULES)]


@pytest.fixture(scope="module")
def report(rio_provider: str) -> _selftest.SelfTest:
    """The whole self-test on a provider."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_selftest, "PROBES", {name: _selftest.PROBES[name] for name in PROBES})
        if is_wine():  # where a process takes seconds to start; one is tested below
            patch.setattr(_selftest, "_ask_in_a_process", _selftest.answer)
        return _selftest.selftest(rio_provider)


def _all(report: _selftest.SelfTest) -> tuple[_selftest.Outcome, ...]:
    return (*report.checks, *report.probes, *report.speed)


def test_all_checks_pass(report: _selftest.SelfTest) -> None:
    """On a provider that serves no check fails, and none is missing."""
    assert [one for one in report.checks if one.result == "failed"] == []
    assert not report.has_failed
    assert {one.id for one in report.checks} >= set(_selftest.CHECKS)


def test_all_probes_answer(report: _selftest.SelfTest) -> None:
    """Each question is answered, or is none here and says why; there are twenty."""
    assert list(_selftest.PROBES) == [f"U{number}" for number in range(1, 21)]
    assert [one.id for one in report.probes] == PROBES
    assert {one.result for one in report.probes} <= {"answered", "not applicable"}
    assert all(one.detail for one in report.probes)


def test_it_says_how_fast_it_is_here(report: _selftest.SelfTest) -> None:
    """RIO is compared with Trio's own sockets at 1 and 100 connections, by CPU time and rate, with the ratios."""
    assert [one.claim.rpartition(", ")[2] for one in report.speed] == ["1 connection", "100 connections"]
    assert {one.result for one in report.speed} == {"answered"}
    for one in report.speed:
        _, ours, theirs, ratio = one.detail.splitlines()
        assert (ours.split()[0], theirs.split()[:2], ratio.split()[0]) == ("trio_rio", ["stock", "Trio"], "ratio")


@pytest.mark.skipif(IS_WINDOWS, reason="has no such program")
def test_servers_that_do_not_start_stand_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the speed cannot be measured the report says why, and it is no failed check."""
    monkeypatch.setattr(sys, "executable", shutil.which("true") or "true")
    (outcome,) = speed.measure_speed("portable")
    assert outcome.result == "failed"
    assert outcome.detail.startswith("LoadError: the server on trio_rio did not start")


def test_the_report_is_text_with_everything_in_it(report: _selftest.SelfTest) -> None:
    """The text names the provider, the versions, and every check and probe with its claim."""
    text = "\n".join(report.lines())
    assert f"provider {report.provider}" in text
    assert f"Python: CPython {sys.version.split()[0]}" in text
    assert all(f"{one.id:<6} {one.result:<14} {one.claim}" in text for one in _all(report))


def test_the_report_is_json(
    report: _selftest.SelfTest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--json prints the same as one object."""
    monkeypatch.setattr(_selftest, "selftest", lambda _: report)
    assert main(["selftest", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["provider"] == report.provider
    assert printed["has_failed"] is False
    assert [one["id"] for one in printed["checks"]] == [one.id for one in report.checks]


def test_a_check_that_fails_is_the_exit_code(
    rio_provider: types.ProviderName, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a check raises stands in the report, and the exit code is 1."""

    def wrong(_: object) -> None:
        """one is two"""
        raise AssertionError("it is not")

    monkeypatch.setattr(_selftest, "measure_speed", lambda _: ())
    for table in ("RUN_CHECKS", "PROBES"):
        monkeypatch.setattr(_selftest, table, {})
    monkeypatch.setattr(_selftest, "CHECKS", {"RC-99": wrong})
    assert main(["selftest", "--provider", rio_provider]) == 1
    assert "RC-99  failed         one is two\n       AssertionError: it is not (wrong, line" in capsys.readouterr().out


def test_a_check_without_results_ends(rio_provider: types.ProviderName, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no receive ever completes RC-25 fails; it does not look for ever."""
    monkeypatch.setattr(bench.Bench, "collect", lambda *_: [])
    outcome = _selftest.check("RC-25", rio_provider)
    assert (outcome.result, outcome.detail.partition(" (")[0]) == ("failed", "AssertionError: no result came")


@pytest.mark.parametrize("cancellation", ["request", "detach"])
def test_cancelled_receives_were_posted(
    rio_provider: types.ProviderName, cancellation: Literal["request", "detach"]
) -> None:
    """RUN-2 cancels receives that are in flight, whatever cancelling does to them; it says so otherwise."""
    config = trio_rio.RioConfig(provider=rio_provider, cancellation=cancellation)
    trio_rio.run(runs.cancelled_receives, config=config)


def test_no_linger_for_datagrams(report: _selftest.SelfTest) -> None:
    """U1 sets SO_LINGER on streams only: Windows refuses it on a datagram socket, and the answer would be lost."""
    (detail,) = [one.detail for one in report.probes if one.id == "U1"]
    assert [line.split()[0] for line in detail.splitlines() if "linger" in line] == ["TCP"]


def test_one_probe(rio_provider: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A single probe prints its outcome as JSON: how a process of its own answers."""
    assert main(["selftest", "--provider", rio_provider, "--probe", "U7"]) == 0
    assert json.loads(capsys.readouterr().out)["detail"] == "WSAEINVAL"


def test_a_probe_in_a_process_of_its_own(rio_provider: types.ProviderName) -> None:
    """Its answer comes back from there."""
    outcome = _selftest._ask_in_a_process("U7", rio_provider)
    assert (outcome.result, outcome.detail) == ("answered", "WSAEINVAL")


@pytest.mark.skipif(IS_WINDOWS, reason="a script is no program there")
def test_a_probe_whose_process_dies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Then the report has the exit code, and the last that it said."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho access violation >&2\nexit 5\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    outcome = _selftest._ask_in_a_process("U11", "winsock")
    assert (outcome.result, outcome.detail) == ("failed", "the process ended with 0x5\naccess violation")


@pytest.mark.skipif(IS_WINDOWS, reason="winsock can serve there")
def test_a_provider_that_cannot_serve(capsys: pytest.CaptureFixture[str]) -> None:
    """Its reason is printed, and nothing is run."""
    assert main(["selftest", "--provider", "winsock"]) == EXIT_USAGE
    assert "Registered I/O is Windows' own" in capsys.readouterr().err
