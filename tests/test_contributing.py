"""What judges a change is written once, and what people read about it is true."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import pytest

import trio_rio

PATH = Path(__file__).resolve()
ROOT = PATH.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
KINDS = ("breaking", "feature", "bugfix", "doc", "removal", "limit", "misc")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def sessions() -> set[str]:
    """The sessions of noxfile.py."""
    return {
        node.name
        for node in ast.parse(read("noxfile.py")).body
        if isinstance(node, ast.FunctionDef)
        if any(ast.unparse(decorator).startswith("nox.session") for decorator in node.decorator_list)
    }


def named_in_text(name: str) -> set[str]:
    """The sessions that a text tells to run: ``nox -s one two``."""
    return {word for words in re.findall(r"\bnox (?:-\S+ \S+ )*-s ([a-z_ ]+)", read(name)) for word in words.split()}


def named_in_ci_run() -> set[str]:
    return set(re.findall(r"\bsession [0-9]+ ([a-z_]+)", read(".ci/run")))


def named_in_matrix() -> set[str]:
    (names,) = re.findall(r"session: \[(.*)\]", read(".github/workflows/ci.yml"))
    return set(names.split(", "))


def test_each_session_that_is_named_exists() -> None:
    """The guide, the template of pull requests, the workflows and ``.ci/run`` name sessions of noxfile.py."""
    texts = ["CONTRIBUTING.md", "newsfragments/README.md", ".github/PULL_REQUEST_TEMPLATE.md"]
    texts += [str(path.relative_to(ROOT)) for path in WORKFLOWS]
    named = set().union(*map(named_in_text, texts), named_in_ci_run(), named_in_matrix())
    assert named - sessions() == set()


def test_ci_runs_each_session() -> None:
    """``.ci/run`` leaves no session out; it runs the tests by the command of the README."""
    assert named_in_ci_run() == sessions() - {"tests"}


def test_the_guide_explains_each_session() -> None:
    """CONTRIBUTING.md names every session, but for the report that ``.ci/run`` makes of its own run."""
    assert named_in_text("CONTRIBUTING.md") == sessions() - {"coverage"}


def test_each_path_in_the_guide_exists() -> None:
    """What CONTRIBUTING.md says of files is about files that there are."""
    paths = re.findall(r"`((?:trio_rio|tests|docs|newsfragments|\.ci)[\w/.]*)`", read("CONTRIBUTING.md"))
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_version_stands_once() -> None:
    """``trio_rio.__version__`` is the version in the metadata, from which documentation and changelog have theirs."""
    assert version("trio_rio") == trio_rio.__version__
    places = [name for name in ("pyproject.toml", "setup.py", "docs/conf.py") if trio_rio.__version__ in read(name)]
    assert places == []


def test_actions_are_pinned() -> None:
    """Each action of somebody else is named by the hash of a commit, with its version beside it."""
    uses = [line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text(encoding="utf-8"))]
    assert len(uses) > 10
    pinned = re.compile(r"\./\.github/workflows/\w+\.yml|[\w-]+/[\w-]+@[0-9a-f]{40} # v[0-9.]+")
    assert [line for line in uses if not pinned.fullmatch(line)] == []


def invented(text: str, urls: Iterable[str]) -> list[str]:
    """The addresses with the project's name in them that are below none of these."""
    found = re.findall(r"(?:https?://|\b(?:www\.)?git(?:hub|lab)\.com/)[^\s)>\]\"'`]*trio[-_]rio[^\s)>\]\"'`]*", text)
    return [address for address in found if not address.startswith(tuple(urls))]


def test_no_address_of_the_project_is_invented() -> None:
    """The project has the homes that pyproject.toml names, so far none: no file sends anybody elsewhere."""
    urls = tomllib.loads(read("pyproject.toml"))["project"].get("urls", {}).values()
    folders = ("trio_rio", "tests", "docs", ".github", ".ci")
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]
    suffixes = {".py", ".md", ".toml", ".yml", ".c", ".h", ".sh", ".svg", ".service", ".json", ""}
    texts = {path: path.read_text(encoding="utf-8") for path in files if path.suffix in suffixes and path != PATH}
    assert len(texts) > 300
    assert {path.name: found for path, text in texts.items() if (found := invented(text, urls))} == {}


def test_an_invented_address_is_found() -> None:
    """Those of forges and registries are; those that pyproject.toml names are none."""
    text = "see https://example.org/trio_rio/issues, [it](https://trio-rio.example.org) and github.com/someone/trio_rio"
    addresses = ["https://example.org/trio_rio/issues,", "https://trio-rio.example.org", "github.com/someone/trio_rio"]
    assert invented(text, []) == addresses
    assert invented(text, ["https://trio-rio.example.org"]) == [addresses[0], addresses[2]]


@pytest.mark.parametrize("path", sorted(ROOT.glob("newsfragments/*")), ids=lambda path: path.name)
def test_news_has_a_kind_and_names_no_issue(path: Path) -> None:
    """A fragment has one of the kinds, and no number: that would become a link to a tracker that is not public."""
    assert path.name == "README.md" or re.fullmatch(rf"\+[a-z0-9-]+\.({'|'.join(KINDS)})\.md", path.name)
