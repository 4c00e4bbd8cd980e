"""TRIO_RIO_INSTALL=1: an interpreter puts itself on trio_rio, and so do its children."""

from __future__ import annotations

import timeit
from pathlib import Path

import pytest

from ..platforms import FOREIGN_PROVIDER, IS_WINDOWS
from .switch import PTH, PURELIB, ROOT, make_interpreter, python

pytestmark = pytest.mark.skipif(IS_WINDOWS, reason="the environment that is made here has the layout of POSIX")

# Prints what serves a plain trio.run(): a provider, or "stock".
CHILD = """
import trio

async def main():
    import trio_rio
    try:
        return trio_rio.current_statistics().provider
    except trio_rio.RioError:
        return "stock"

if __name__ == "__main__":
    print(trio.run(main))
"""

# Starts one child, in the way that the argument names; the child prints.
PARENT = """
import multiprocessing, subprocess, sys

def work():
    import child, trio
    print(trio.run(child.main), flush=True)

if __name__ == "__main__":
    way = sys.argv[1]
    if way == "subprocess":
        sys.exit(subprocess.run([sys.executable, "child.py"]).returncode)
    process = multiprocessing.get_context(way).Process(target=work)
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""

WAYS = ("spawn", "forkserver", "fork", "subprocess")
ON = {"TRIO_RIO_INSTALL": "1"}


@pytest.fixture(scope="module")
def interpreter(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_interpreter(tmp_path_factory.mktemp("interpreter"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a program that starts a child."""
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "parent.py").write_text(PARENT)
    return tmp_path


# -- what is served ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_children_of_a_program_that_run_started_are_served(
    interpreter: str, folder: Path, rio_provider: str, way: str
) -> None:
    """``run`` serves every child of the program, on the provider that was asked for."""
    command = ["-m", "trio_rio", "run", "--provider", rio_provider, "parent.py", way]
    done = python(interpreter, *command, cwd=folder)
    assert (done.stdout, done.returncode) == (f"{rio_provider}\n", 0), done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_the_variable_serves_children(interpreter: str, folder: Path, rio_provider: str, way: str) -> None:
    """Whoever sets TRIO_RIO_INSTALL=1 has the children of every program served."""
    done = python(interpreter, "parent.py", way, cwd=folder, TRIO_RIO_PROVIDER=rio_provider, **ON)
    assert (done.stdout, done.stderr, done.returncode) == (f"{rio_provider}\n", "", 0)


@pytest.mark.parametrize("value", [None, "", "0"])
def test_without_the_variable_nothing_is_served(interpreter: str, folder: Path, value: str | None) -> None:
    """Where the variable is not set, empty or 0, runs are stock Trio's, and nothing is said."""
    added = {} if value is None else {"TRIO_RIO_INSTALL": value}
    done = python(interpreter, "parent.py", "spawn", cwd=folder, **added)
    assert (done.stdout, done.stderr, done.returncode) == ("stock\n", "", 0)


@pytest.mark.parametrize(
    "first",
    ["import trio_rio", "import trio.socket", "from trio import run", "import trio, trio_rio; trio_rio.install()"],
)
def test_whatever_is_imported_first(interpreter: str, folder: Path, first: str) -> None:
    """It makes no difference which of the two packages a program imports first, and in which way."""
    (folder / "program.py").write_text(f"{first}\n{CHILD}")
    done = python(interpreter, "program.py", cwd=folder, TRIO_RIO_PROVIDER="portable", **ON)
    assert (done.stdout, done.stderr) == ("portable\n", "")


# -- what it costs -----------------------------------------------------------------------------------------

LOADED = "import sys; print(*sorted({'trio', 'trio_rio', '_trio_rio_switch', 'logging'} & {*sys.modules}))"


@pytest.mark.parametrize(("added", "loaded"), [({}, ""), (ON, "_trio_rio_switch")], ids=["off", "on"])
def test_starting_imports_neither_trio_nor_trio_rio(
    interpreter: str, folder: Path, added: dict[str, str], loaded: str
) -> None:
    """A start loads nothing of trio_rio without the variable, and with it nothing but the switch."""
    done = python(interpreter, "-c", LOADED, cwd=folder, **added)
    assert (done.stdout.strip(), done.stderr) == (loaded, "")


def test_a_start_without_the_variable_costs_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installation adds to every start of Python takes less than a millisecond."""
    monkeypatch.delenv("TRIO_RIO_INSTALL", raising=False)
    line = PTH.read_text()
    assert min(timeit.repeat(lambda: exec(line, {}), number=1, repeat=20)) < 1e-3


def test_nothing_is_left_in_the_import_system(interpreter: str, folder: Path) -> None:
    """After ``import trio`` the import system and Trio's loader are as they would be without the switch."""
    program = "import sys, trio; print([type(one).__name__ for one in sys.meta_path], vars(trio.__loader__))"
    on, off = (python(interpreter, "-c", program, cwd=folder, **added) for added in (ON, {}))
    assert on.stdout == off.stdout
    assert on.returncode == off.returncode == 0


def test_asking_where_trio_is_imports_nothing(interpreter: str, folder: Path) -> None:
    """``importlib.util.find_spec("trio")`` finds it and imports neither package."""
    program = "import sys, importlib.util as util; print(util.find_spec('trio').name, 'trio' in sys.modules)"
    assert python(interpreter, "-c", program, cwd=folder, **ON).stdout == "trio False\n"


# -- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("added", "words"),
    [
        ({"TRIO_RIO_INSTALL": "1", "TRIO_RIO_PROVIDER": FOREIGN_PROVIDER}, f"provider '{FOREIGN_PROVIDER}' is not"),
        ({"TRIO_RIO_INSTALL": "1", "TRIO_RIO_PROVIDER": "pigeon"}, "there is no provider 'pigeon'"),
        ({"TRIO_RIO_INSTALL": "yes"}, "TRIO_RIO_INSTALL=yes: it must be 1 or 0"),
    ],
    ids=["refused", "unknown", "no switch"],
)
@pytest.mark.parametrize("first", ["import trio", "import trio_rio"])
def test_what_cannot_serve_is_one_line_in_the_log(
    interpreter: str, folder: Path, added: dict[str, str], words: str, first: str
) -> None:
    """Where trio_rio cannot be installed the program goes on with stock Trio, and one line says why."""
    (folder / "program.py").write_text(f"{first}\n{CHILD}")
    done = python(interpreter, "program.py", cwd=folder, **added)
    assert (done.stdout, done.returncode) == ("stock\n", 0)
    (line,) = done.stderr.splitlines()
    assert words in line
    assert "stock Trio" in line


def test_a_package_that_is_broken_is_one_line_in_the_log(interpreter: str, folder: Path) -> None:
    """Where trio_rio cannot even be imported the program goes on with stock Trio, and one line says why."""
    (folder / "trio_rio").mkdir()
    (folder / "trio_rio" / "__init__.py").write_text("import no_such_module_of_ours")
    program = "import trio; print(trio.run(trio.sleep, 0))"
    done = python(interpreter, "-c", program, cwd=folder, **ON)
    assert (done.stdout, done.returncode) == ("None\n", 0)
    (line,) = done.stderr.splitlines()
    assert "no_such_module_of_ours" in line


def test_a_loader_that_cannot_be_followed_still_loads(interpreter: str, folder: Path) -> None:
    """Where Trio comes from a loader that takes no attributes it is loaded all the same, and one line says why."""
    (folder / "program.py").write_text(
        "import importlib.machinery, sys\n"
        "class Loader:\n"
        "    __slots__ = ()\n"
        "    def create_module(self, spec): return None\n"
        "    def exec_module(self, module): module.answer = 42\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target):\n"
        "        return importlib.machinery.ModuleSpec(name, Loader()) if name == 'trio' else None\n"
        "sys.meta_path.insert(1, Finder())\n"
        "import trio\n"
        "print(trio.answer)\n"
    )
    done = python(interpreter, "program.py", cwd=folder, **ON)
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr
    (line,) = done.stderr.splitlines()
    assert "stock Trio" in line


# -- options of python -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "provider"), [("-P", "portable"), ("-s", "portable"), ("-E", "stock"), ("-I", "stock"), ("-S", "stock")]
)
def test_isolation_from_the_environment_is_respected(
    interpreter: str, folder: Path, option: str, provider: str
) -> None:
    """-E and -I ignore the variable as they do Python's own, and -S reads no .pth file; others change nothing."""
    path = f"{ROOT}:{PURELIB}" if option == "-S" else ""
    done = python(interpreter, option, "-c", CHILD, cwd=folder, TRIO_RIO_PROVIDER="portable", PYTHONPATH=path, **ON)
    assert (done.stdout, done.stderr) == (f"{provider}\n", "")


# -- beside the other ways in ------------------------------------------------------------------------------


def test_the_command_line_beats_the_switch(interpreter: str, folder: Path) -> None:
    """``run --provider`` chooses, though the variable has installed something else before."""
    command = ["-m", "trio_rio", "run", "--provider", "portable", "child.py"]
    done = python(interpreter, *command, cwd=folder, **ON)
    assert (done.stdout, done.stderr) == ("portable\n", "")


def test_the_pytest_plugin_beats_the_switch(interpreter: str, folder: Path) -> None:
    """``--rio-provider`` chooses, though the variable has installed something else before."""
    (folder / "test_it.py").write_text(f"{CHILD}\n\ndef test_it():\n    assert trio.run(main) == 'portable'\n")
    options = ["-p", "trio_rio.pytest_plugin", "-p", "no:cacheprovider", "--rio-provider=portable", "test_it.py"]
    done = python(interpreter, "-m", "pytest", *options, cwd=folder, **ON)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pytest_plugin_leaves_the_switch_as_it_was(interpreter: str, folder: Path) -> None:
    """After a session of pytest inside of a program, what was installed before is installed again."""
    (folder / "test_it.py").write_text("def test_it(): pass")
    (folder / "program.py").write_text(
        "import pytest, trio, trio_rio\n"
        "before = str(trio_rio._run._binding.installed)\n"
        "pytest.main(['-p', 'trio_rio.pytest_plugin', '-p', 'no:cacheprovider', '--rio-provider=portable'])\n"
        "print(before, str(trio_rio._run._binding.installed))\n"
    )
    done = python(interpreter, "program.py", cwd=folder, **ON)
    assert done.stdout.splitlines()[-1] == "RioConfig() RioConfig()", done.stdout + done.stderr


def test_other_commands_are_not_changed(interpreter: str, folder: Path) -> None:
    """Commands that start runs of their own, as ``demo`` has a server on stock Trio, do not heed the variable."""
    (folder / "program.py").write_text(f"import os, trio_rio._cli.main\ntrio_rio._cli.main.main(['probe'])\n{CHILD}")
    (folder / "parent.py").write_text(PARENT.replace("if __name__", "import program\nif __name__"))
    done = python(interpreter, "parent.py", "subprocess", cwd=folder, **ON)
    assert done.stdout.splitlines()[-1] == "stock", done.stdout + done.stderr
