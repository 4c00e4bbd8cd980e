"""``python -m trio_rio run``: a program can not tell it from python itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..platforms import FOREIGN_PROVIDER

# Prints what a program sees of how it was started.
REPORT = """
import json, os, sys
print(json.dumps([sys.argv, sys.path[:1], __name__, __package__ or None]))
"""

# Prints the provider that serves an ordinary trio.run(), and one that the program puts on the backend itself.
PROVIDER = """
import trio, trio_rio

async def main():
    print(trio_rio.current_statistics().provider)

trio.run(main)
trio_rio.run(main)
"""


def python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return python("-m", "trio_rio", "run", *arguments, cwd=cwd, **environment)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a script and a package, both of which report how they were started."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "script.py").write_text(REPORT)
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "__main__.py").write_text(REPORT)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        ["folder/script.py", "a", "--help", "-m", "--", "--provider=x"],
        ["-m", "package", "a", "--help", "--", "-m"],
        ["-m", "package.__main__"],
    ],
    ids=" ".join,
)
def test_the_program_sees_what_python_shows(program: Path, command: list[str]) -> None:
    """sys.argv, the front of sys.path, __name__ and __package__ are those of ``python COMMAND``."""
    expected = python(*command, cwd=program)
    actual = run(*command, cwd=program)
    assert actual.stderr == ""
    assert json.loads(actual.stdout) == json.loads(expected.stdout)


@pytest.mark.parametrize("command", [["folder/script.py", "a", "--", "b"], ["-m", "package", "--"]], ids=" ".join)
def test_two_dashes_end_the_options(program: Path, command: list[str]) -> None:
    """What follows a `--` before the program is the program; a later one is the program's own."""
    expected = python(*command, cwd=program)
    assert json.loads(run("--provider", "portable", "--", *command, cwd=program).stdout) == json.loads(expected.stdout)


def test_the_script_finds_modules_as_python_does(program: Path) -> None:
    """Called by a console script, whose own folder is in front, `run -m` looks in the current folder all the same."""
    (program / "bin").mkdir()
    (program / "bin" / "trio-rio").write_text("import sys\nfrom trio_rio._cli.main import main\nsys.exit(main())\n")
    ran = python("bin/trio-rio", "run", "-m", "package", cwd=program)
    assert ran.stderr == ""
    assert json.loads(ran.stdout) == json.loads(python("-m", "package", cwd=program).stdout)


@pytest.mark.parametrize("provider", ["portable"])
def test_trio_run_in_the_program_is_served(tmp_path: Path, provider: str) -> None:
    """Any run of the program runs on the provider that was asked for, whatever the environment says."""
    (tmp_path / "script.py").write_text(PROVIDER)
    ran = run("--provider", provider, "script.py", cwd=tmp_path, TRIO_RIO_PROVIDER=FOREIGN_PROVIDER)
    assert ran.stdout == f"{provider}\n" * 2


@pytest.mark.parametrize(
    ("statement", "code"),
    [("sys.exit(7)", 7), ("sys.exit('text')", 1), ("pass", 0), ("1 / 0", 1)],
)
def test_the_exit_code_is_the_programs(tmp_path: Path, statement: str, code: int) -> None:
    """The exit code passes through, whatever it is made from."""
    (tmp_path / "script.py").write_text(f"import sys\n{statement}\n")
    assert run("script.py", cwd=tmp_path).returncode == code


@pytest.mark.skipif(os.name != "posix", reason="death by a signal is POSIX's")
def test_an_interrupt_kills_as_it_does_python(tmp_path: Path) -> None:
    """A KeyboardInterrupt that nobody caught ends the process by SIGINT."""
    (tmp_path / "script.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    assert run("script.py", cwd=tmp_path).returncode == -signal.SIGINT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "a SCRIPT or -m MODULE is needed"),
        (["-m"], "a SCRIPT or -m MODULE is needed"),
        (["nowhere.py"], "can't open file 'nowhere.py'"),
        (["-m", "no_such_module"], "no module named no_such_module"),
        (["-m", "no_such_package.module"], "no module named no_such_package.module"),
        (["-m", ".relative"], "no module named .relative"),
        (["--provider", "carrier-pigeon", "script.py"], "carrier-pigeon"),
    ],
)
def test_what_can_not_be_run_is_said(tmp_path: Path, arguments: list[str], message: str) -> None:
    """One line says what is wrong, there is no traceback, and the exit code is 2."""
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_provider_in_the_environment_is_said(tmp_path: Path) -> None:
    """A wrong TRIO_RIO_PROVIDER is an error as clear as a wrong --provider."""
    (tmp_path / "script.py").write_text("")
    result = run("script.py", cwd=tmp_path, TRIO_RIO_PROVIDER="carrier-pigeon")
    assert result.returncode == 2
    assert "carrier-pigeon" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["run script.py", "bench --seconds 1", "demo --seconds 1", "selftest"])
def test_an_unknown_engine_in_the_environment_is_said(command: str, tmp_path: Path) -> None:
    """A wrong TRIO_RIO_ENGINE ends each command that makes runs with one line, before it starts any."""
    (tmp_path / "script.py").write_text("raise AssertionError('was run')")
    done = subprocess.run(
        [sys.executable, "-m", "trio_rio", *command.split()],
        cwd=tmp_path,
        env={**os.environ, "TRIO_RIO_ENGINE": "steam"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr == "trio_rio: TRIO_RIO_ENGINE must be 'native' or 'python', not 'steam'\n"


def test_an_import_error_of_the_program_is_its_own(program: Path) -> None:
    """A package that fails to import something shows its traceback, as with python."""
    (program / "package" / "__init__.py").write_text("import no_such_thing_anywhere")
    result = run("-m", "package", cwd=program)
    assert result.returncode == 1
    assert "No module named 'no_such_thing_anywhere'" in result.stderr
