"""A Trio that was not tried, and one whose inside has changed: what is said, and when."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path

import pytest

import trio_rio
from trio_rio import _trio
from trio_rio._trio_versions import NEWEST_TRIED, OLDEST_TRIED, find_missing, warn_if_untried

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "trio_rio"


def python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


# -- versions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [OLDEST_TRIED, NEWEST_TRIED, f"{NEWEST_TRIED}.1"])
def test_a_version_that_was_tried_is_not_warned_of(version: str) -> None:
    """Releases from the oldest to the newest that was tried, and patches of these, are silent."""
    with warnings.catch_warnings(action="error"):
        warn_if_untried(version)


@pytest.mark.parametrize("version", ["0.30.0", "0.99.0", "1.0", f"{NEWEST_TRIED}.0+dev", "0.99.0b1", "nonsense"])
def test_a_version_that_was_not_tried_is_warned_of(version: str) -> None:
    """An older or newer Trio, or one that is no release, is named, with the range that was tried and where to look."""
    with pytest.warns(trio_rio.UntriedTrioWarning) as caught:
        warn_if_untried(version)
    (said,) = [str(one.message) for one in caught]
    assert f"Trio {version}" in said
    assert f"{OLDEST_TRIED} to {NEWEST_TRIED}" in said
    assert "python -m trio_rio selftest" in said


def test_the_warning_comes_once() -> None:
    """Importing trio_rio beside a Trio that was not tried warns once, and then works."""
    done = python(
        "import trio; trio.__version__ = '0.99.0'\n"
        "import trio_rio, trio_rio.testing\n"
        "for _ in range(2): trio_rio.run(trio.sleep, 0)\n"
        "print('done')"
    )
    assert done.stdout == "done\n"
    assert done.stderr.count("UntriedTrioWarning") == 1


def test_the_range_is_that_of_the_tests() -> None:
    """The oldest is what the metadata asks for, and so `nox -s lowest`; with the newest runs Trio's own suite."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"trio>={OLDEST_TRIED}" in project["dependencies"]
    assert f"trio=={NEWEST_TRIED}.0 " in (ROOT / "tests" / "suites" / "trio.sh").read_text()
    page = (ROOT / "docs" / "howto" / "trio-versions.md").read_text()
    assert f"with {OLDEST_TRIED} to {NEWEST_TRIED}:" in page


# -- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("del trio._core._run.GLOBAL_RUN_CONTEXT", "GLOBAL_RUN_CONTEXT"),
        ("del trio._core._traps._async_yield", "_async_yield"),
        ("del trio._core._run.Runner.spawn_impl", "Runner.spawn_impl"),
        ("del trio._core._entry_queue.EntryQueue.task", "EntryQueue.task"),
        ("del trio._core._run.TheIOManager.force_wakeup", "IOManager.force_wakeup"),
        ("del trio._socket._stdlib_socket", "trio._socket._stdlib_socket"),
        ("trio._socket._SocketType.__init__ = lambda self, sock: setattr(self, '_inner', sock)", "_SocketType._sock"),
    ],
)
def test_a_name_that_is_gone_is_said_at_import(change: str, name: str) -> None:
    """A private name that a new Trio has no more ends ``import trio_rio`` with one sentence, and not a run later on."""
    done = python(f"import trio, trio.socket\n{change}\nimport trio_rio")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: trio_rio cannot work with Trio ")
    assert name in last
    assert f"{OLDEST_TRIED} to {NEWEST_TRIED}" in last
    assert "During handling" not in done.stderr


def test_names_that_are_there_are_found() -> None:
    """Functions, fields and what an initialiser sets are all found; what is nowhere is reported by its full name."""

    class Owner:
        def __init__(self) -> None:
            self.set_at_first = 1

        def method(self) -> None: ...

    assert find_missing({Owner: ("set_at_first", "method")}) == []
    (missing,) = find_missing({Owner: ("method", "gone")})
    assert missing.endswith("Owner.gone")


@pytest.mark.parametrize(("word", "owner"), [("runner", _trio.Runner), ("task", _trio.Task)])
def test_whatever_is_touched_is_looked_for(word: str, owner: type) -> None:
    """Each attribute of a run and of a task that the package reads is among those that are looked for at import."""
    touched = {
        name
        for path in PACKAGE.rglob("*.py")
        if "_cli" not in path.parts
        for name in re.findall(rf"\b_?{word}\.([a-z_]+)", path.read_text(encoding="utf-8"))
    }
    assert touched - {"__code__"} - set(_trio.NEEDED[owner]) == set()
