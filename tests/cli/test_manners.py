"""The command line as a whole: help, version, width, and how it ends."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import trio_rio
from trio_rio._cli import main as _main
from trio_rio._cli.exits import EXIT_CLOSED_PIPE, EXIT_INTERRUPTED, needs
from trio_rio._cli.main import DEMO_NEEDS, main
from trio_rio._cli.progress import Progress
from trio_rio._cli.text import format_table, wrap

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("demo", "probe", "run", "selftest")
LONG = "many words that do not fit into one line of a narrow terminal " * 3


def test_nothing_is_answered_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without arguments the help is printed, with every command in it, and the exit code is 0."""
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"\n    {command} " in out for command in COMMANDS)


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """--version prints the name and the version, and nothing else."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"trio_rio {trio_rio.__version__}\n"


@pytest.mark.parametrize(("extra", "packages"), [("demo", DEMO_NEEDS), ("cli", ("rich",)), ("plot", ("matplotlib",))])
def test_advice_names_what_an_extra_brings(extra: str, packages: tuple[str, ...]) -> None:
    """What a command says is missing can be had by its own name, and is all that the extra of that command has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = {re.split(r"[>=]", requirement)[0] for requirement in project["optional-dependencies"][extra]}
    assert brought == set(packages)
    assert needs("it", *packages).endswith(f": pip install {' '.join(packages)}")


def test_no_advice_needs_a_release() -> None:
    """No command tells to install trio_rio itself from where it may not be: a checkout has its own name for that."""
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "trio_rio" / "_cli").rglob("*.py")]
    assert len(sources) > 20
    assert [source for source in sources if re.search(r"pip install [^\n]*trio[-_]rio", source)] == []


def test_there_is_a_script() -> None:
    """The installation makes a script `trio-rio`, and it calls the command line."""
    scripts = (Path(__file__).parents[2] / "pyproject.toml").read_text().partition("[project.scripts]\n")[2]
    _, _, value = scripts.splitlines()[0].partition(" = ")
    entry = importlib.metadata.EntryPoint("trio-rio", value.strip('"'), "console_scripts")
    assert scripts.startswith("trio-rio = ")
    assert entry.load() is main


@pytest.mark.parametrize("name", ["trio-rio", "trio-rio.exe"])
def test_the_script_has_its_own_name(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Called as `trio-rio`, the help says `trio-rio`."""
    monkeypatch.setattr(sys, "argv", [f"bin/{name}"])
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: trio-rio [-h]")


@pytest.mark.parametrize("arguments", [["--help"], ["probe"], *([one, "--help"] for one in COMMANDS)], ids=" ".join)
def test_eighty_columns_are_enough(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a terminal of 80 columns no line is longer."""
    monkeypatch.setenv("COLUMNS", "80")
    try:
        assert main(arguments) == 0
    except SystemExit as end:
        assert end.code == 0  # noqa: PT017  # --help ends so, and the others do not
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert [line for line in lines if len(line) > 80] == []


def test_lines_stay_whole_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the output is no terminal, and nobody has set COLUMNS, nothing is wrapped."""
    assert wrap(LONG) == [LONG]


def test_wrapped_lines_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrapped is indented as asked for, and no word is lost."""
    monkeypatch.setenv("COLUMNS", "40")
    lines = wrap(LONG, 4)
    assert all(line.startswith("    ") for line in lines[1:])
    assert max(map(len, lines)) <= 40
    assert " ".join(lines).split() == LONG.split()


def test_the_last_column_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table fits into the terminal: its last column goes on below itself."""
    monkeypatch.setenv("COLUMNS", "30")
    assert format_table([("a", "one two three four five six")]) == ["a  one two three four five six"]
    assert format_table([("a", "one two three four five six seven")]) == ["a  one two three four five six", "   seven"]


def test_progress_fits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A note on a terminal takes one line at most, an outcome as many as it needs."""
    monkeypatch.setenv("COLUMNS", "40")
    progress = Progress(is_terminal=True)
    progress.start("speed")
    progress.note(LONG)
    progress.finish(LONG)
    _, note, outcome = capsys.readouterr().out.split("\r\x1b[K")
    assert len(note) == 39
    assert {line[:11].strip() for line in outcome.splitlines()[1:]} == {""}
    assert max(map(len, outcome.splitlines())) <= 40


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With NO_COLOR even what is asked to be rich has no colour."""
    pytest.importorskip("rich")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["probe", "--rich"]) == 0
    assert "\x1b[32m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["probe", "--rich"]) == 0
    assert "\x1b[3" not in capsys.readouterr().out


def test_an_interrupt_is_clean_everywhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C in a command is exit code 130, and nothing is printed."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_main, "serve", interrupt)
    assert main(["probe"]) == EXIT_INTERRUPTED == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("arguments", [["--help"], ["probe"], ["probe", "--json"]], ids=" ".join)
def test_a_closed_pipe_ends_quietly(arguments: list[str]) -> None:
    """Where nobody reads the output any more the command ends, and no traceback is printed."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-m", "trio_rio", *arguments]
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60)
    finally:
        os.close(writer)
    assert done.stderr == b""
    assert done.returncode == EXIT_CLOSED_PIPE or "--help" in arguments  # argparse may swallow it


def test_other_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """An OSError that is not about the output is raised."""

    def fail(*_: object) -> None:
        raise ConnectionResetError("somebody is gone")

    monkeypatch.setattr(_main, "serve", fail)
    with pytest.raises(ConnectionResetError):
        main(["probe"])
