"""Each command in README.md and the documentation names programs, modules, files and options that there are.

What installs packages, wants a container, or takes long is not run here: the two long commands of the README are lanes
of their own, and the recipes have tests of their own. The tutorial's first program is run as its page tells.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import shlex
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from .pages import PAGES, ROOT, Block, blocks, blocks_of

# Programs of others, whose arguments are theirs.
OTHERS = {"apt-get", "docker", "hypercorn", "nox", "pre-commit", "towncrier", "trio-rio", "export", "kill"}
# What the pages call a program of the reader's own.
READERS = {"server.py", "my_package.server", "SCRIPT", "MODULE"}
PATIENCE_SECONDS = 60


def commands_of(block: Block) -> Iterator[list[str]]:
    """The words of each command of a block, without what it prints, variables and remarks."""
    for line in re.sub(r"\\\n", " ", block.text).splitlines():
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line[2:]
        line = re.sub(r"\[(-[^\]|]*|[A-Z][^\]]*)\]", r"\1", line)  # what may be left out
        line = re.sub(r"\[(-[^\]]*)\]", lambda found: found[1].replace("|", " "), line)
        for command in line.split(" && "):
            words = shlex.split(command, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                words.pop(0)
            if words:
                yield words


@functools.cache
def help_of(command: tuple[str, ...]) -> str:
    """What ``python COMMAND --help`` prints."""
    done = subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert done.stdout, f"python {' '.join(command)} --help: {done.stderr}"
    return done.stdout


def unknown_options(command: tuple[str, ...], words: list[str]) -> list[str]:
    """The options among these words that the help of a command does not have."""
    options = [word.partition("=")[0] for word in words if re.match(r"--\w", word)]
    return [f"{' '.join(command)} has no {option}" for option in options if option not in help_of(command)]


def is_module(name: str) -> bool:
    """Whether there is a module of that name, in the checkout or installed."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def wrong_in_module(words: list[str], folder: Path) -> list[str]:
    """What is wrong in the words after ``python -m``."""
    name, rest = words[0], words[1:]
    if name in READERS:
        return []
    if not is_module(name):
        return [f"there is no module {name}"]
    if name == "pytest":
        paths = [word for word in rest if re.fullmatch(r"tests\S*|suite\S*", word)]
        plugins = ("-p", "trio_rio.pytest_plugin") if "trio_rio.pytest_plugin" in rest else ()
        found = [f"there is no {path}" for path in paths if not (folder / path).exists()]
        return found + unknown_options(("-m", "pytest", *plugins), rest)
    if name == "trio_rio" and rest[:1] == ["run"]:
        place = next((place for place, word in enumerate(rest) if word == "-m" or word.endswith((".py", "SCRIPT"))), 0)
        found = unknown_options(("-m", "trio_rio", "run"), rest[1 : place or None])
        if not place:
            return found
        is_by_name = rest[place] == "-m"
        return found + (
            wrong_in_module([rest[place + 1]], folder) if is_by_name else wrong_in_script(rest[place:], folder)
        )
    if name.split(".")[0] in ("trio_rio", "tests"):
        commands = [word for word in rest[:1] if re.fullmatch("[a-z]+", word)]
        if commands and commands[0] not in help_of(("-m", name)):
            return [f"{name} has no command {commands[0]}"]
        shows_all = name == "tests.windows"
        return unknown_options(("-m", name, *([] if shows_all else commands)), rest)
    return []


def wrong_in_script(words: list[str], folder: Path) -> list[str]:
    """What is wrong in the words after ``python`` that begin with a file."""
    name, rest = words[0], words[1:]
    if name in READERS:
        return []
    path = folder / name
    if not path.exists():
        return [f"there is no {path.relative_to(ROOT)}"]
    if "--" in rest:
        place = rest.index("--")
        return unknown_options((str(path),), rest[:place]) + wrong_in(rest[place + 1 :], folder)
    return unknown_options((str(path),), rest)


def wrong_in_install(words: list[str]) -> list[str]:
    """The extras of this package that are named and do not exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = [
        name for word in words for found in re.findall(r"^(?:\.|trio.rio)\[(.*)\]", word) for name in found.split(",")
    ]
    return [f"there is no extra {name}" for name in named if name not in extras]


def wrong_in(words: list[str], folder: Path) -> list[str]:
    """What is wrong in one command."""
    program, rest = words[0].removeprefix(".venv/bin/"), words[1:]
    if program in OTHERS or program == ".":
        return []
    if program == "cd":
        return [] if (folder / rest[0]).is_dir() else [f"there is no folder {rest[0]}"]
    if program == "pip":
        return wrong_in_install(rest)
    if program not in ("python", "python3"):
        return [f"nobody knows {program}"]
    if rest[0] == "-m":
        return wrong_in_module(rest[1:], folder)
    if rest[0] == "-c":
        compile(rest[1], "-c", "exec")
        return []
    return wrong_in_script(rest, folder)


def programs_shown(page: str) -> set[str]:
    """The files that a page shows with their name in the first line: ``# echo.py``."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return set(re.findall(r"^```python\n# (\S+\.py)$", text, re.MULTILINE))


@pytest.mark.parametrize("page", sorted({block.page for block in blocks("sh", "console")}))
def test_each_command_of_a_page_exists(page: str) -> None:
    """Whatever a page tells to type is there: the program, the module, the file, the option."""
    folder, wrong = ROOT, []
    for block in blocks("sh", "console"):
        if block.page != page:
            continue
        for words in commands_of(block):
            words = [word for word in words if word not in programs_shown(page)] or words
            if words[:4] == ["python", "-m", "trio_rio", "run"] and len(words) == 4:
                continue  # a program of the page's own
            wrong += [f"{block.name}: {what}" for what in wrong_in(words, folder)]
            if words[0] == "cd":
                folder = folder / words[1]
    assert wrong == []


def test_no_block_is_of_a_kind_that_is_not_checked() -> None:
    """Blocks are of Python, of commands, of JSON, of directives of Sphinx, or text that is not run."""
    kinds = {block.language for page in PAGES for block in blocks_of(page)}
    assert {kind for kind in kinds if not kind.startswith("{")} <= {"python", "sh", "console", "json", "yaml", "text"}


@pytest.mark.parametrize("block", blocks("json"), ids=lambda block: block.name)
def test_json_is_json(block: Block) -> None:
    """Each block of JSON can be read."""
    assert json.loads(block.text)


@pytest.mark.parametrize("page", ["docs/tutorial.md"])
def test_the_first_program_answers(page: str, tmp_path: Path) -> None:
    """The tutorial's server, started as it says, gives what it says to the client that it shows."""
    (program,) = [block.text for block in blocks("python") if block.text.startswith("# echo.py\n")]
    (client,) = [block.text for block in blocks("console") if block.page == page and " -c " in block.text]
    command, _, answer = re.sub(r"\\\n", " ", client).partition("\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    (tmp_path / "echo.py").write_text(program.replace("8000", port), encoding="utf-8")
    words = [sys.executable, *shlex.split(command.replace("8000", port))[2:]]
    with subprocess.Popen([sys.executable, "-m", "trio_rio", "run", "echo.py"], cwd=tmp_path) as server:
        try:
            said = ""
            for _ in range(100):  # it takes a while to start
                said = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS).stdout
                if said:
                    break
                time.sleep(0.05)
            assert said == answer
        finally:
            server.kill()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("python -m trio_rio nothing", "has no command nothing"),
        ("python -m trio_rio probe --nothing", "has no --nothing"),
        ("python -m trio_rio.nothing", "there is no module"),
        ("python nothing.py", "there is no nothing.py"),
        ("python -m pytest tests/nothing", "there is no tests/nothing"),
        ("pip install '.[nothing]'", "there is no extra nothing"),
        ("cd nothing", "there is no folder nothing"),
        ("nothing", "nobody knows nothing"),
    ],
)
def test_what_is_wrong_is_found(line: str, message: str) -> None:
    """A command that does not exist is reported."""
    (words,) = commands_of(Block("page.md", 1, "sh", line))
    assert message in wrong_in(words, ROOT)[0]
