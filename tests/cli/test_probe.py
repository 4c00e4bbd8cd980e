"""``python -m trio_rio probe``: what serves here, and why the others do not."""

from __future__ import annotations

import json
import sys

import attrs
import pytest

import trio_rio
from trio_rio._cli.main import main
from trio_rio._cli.text import format_table


@pytest.fixture(autouse=True)
def unforced(monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider is forced from outside."""
    monkeypatch.delenv("TRIO_RIO_PROVIDER", raising=False)


def test_json_is_the_whole_report(capsys: pytest.CaptureFixture[str]) -> None:
    """``--json`` prints the report of trio_rio.probe(), all of it."""
    assert main(["probe", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(attrs.asdict(trio_rio.probe())))


def test_text_names_the_choice_and_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """The plain text ends its table with the provider that is chosen, and why."""
    report = trio_rio.probe()
    assert main(["probe"]) == 0
    assert f"chosen: {report.chosen}, because {report.chosen_because}" in capsys.readouterr().out


def test_text_has_a_remedy_for_each_refusal(capsys: pytest.CaptureFixture[str]) -> None:
    """Each provider that cannot serve has its reason and a remedy."""
    refused = [item for item in trio_rio.probe().providers if not item.is_available]
    assert main(["probe"]) == 0
    out = capsys.readouterr().out
    assert refused, "winsock at least cannot serve where these tests run"
    assert all(f"{item.name}: {item.reason}\n  remedy: {item.remedy}\n" in out for item in refused)


@pytest.mark.parametrize("name", ["winsock", "uring", "portable"])
def test_the_exit_code_answers_for_one_provider(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--provider`` the exit code is 0 when that one can serve and 1 when it cannot."""
    can_serve = {item.name: item.is_available for item in trio_rio.probe().providers}
    assert main(["probe", "--provider", name]) == (0 if can_serve[name] else 1)


def test_a_forced_provider_that_cannot_serve_is_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    """The line about the choice does not leave it at "chosen" where a run would be refused."""
    refused = next(item.name for item in trio_rio.probe().providers if not item.is_available)
    assert main(["probe", "--provider", refused]) == 1
    assert "; it cannot serve here, and a run is refused" in " ".join(capsys.readouterr().out.split())


def test_rich_says_the_same(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """``--rich`` prints every provider's name and the choice."""
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["probe", "--rich"]) == 0
    out = capsys.readouterr().out
    report = trio_rio.probe()
    assert all(item.name in out for item in report.providers)
    assert f"chosen: {report.chosen}" in out


def test_rich_is_optional(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rich, ``--rich`` says how to get it, and exits with 2."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    assert main(["probe", "--rich"]) == 2
    assert "--rich needs rich: pip install rich" in capsys.readouterr().err


def test_an_unknown_provider_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is no provider's is refused with the names that are."""
    with pytest.raises(SystemExit) as caught:
        main(["probe", "--provider", "carrier-pigeon"])
    assert caught.value.code == 2
    assert "uring" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["demo"], ["probe"], ["run"]], ids=str)
def test_everything_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """``--help`` works for the whole and for each command."""
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "usage: python -m trio_rio" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", ["0", "-1", "3600", "nan", "soon"])
def test_a_senseless_duration_is_a_usage_error(seconds: str) -> None:
    """``--seconds`` must be a number above 0 and below 3600."""
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--seconds", seconds])
    assert caught.value.code == 2


def test_columns_are_aligned() -> None:
    """Each column is as wide as its widest cell, and no line ends with a space."""
    assert format_table([("a", "bb"), ("ccc", "d"), ("e", "")]) == ["a    bb", "ccc  d", "e"]


def test_an_unknown_provider_in_the_environment_is_said(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong TRIO_RIO_PROVIDER is an error with the names that would be right, and the exit code is 2."""
    monkeypatch.setenv("TRIO_RIO_PROVIDER", "carrier-pigeon")
    assert main(["probe"]) == 2
    assert "portable" in capsys.readouterr().err
