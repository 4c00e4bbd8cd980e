"""What judges a change is written once, and what people read about it is true."""

from __future__ import annotations

import ast
import re
from importlib.metadata import version
from pathlib import Path

import pytest

import trio_rio

ROOT = Path(__file__).resolve().parent.parent
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


@pytest.mark.parametrize("path", sorted(ROOT.glob("newsfragments/*")), ids=lambda path: path.name)
def test_news_has_a_kind_and_names_no_issue(path: Path) -> None:
    """A fragment has one of the kinds, and no number: that would become a link to a tracker that is not public."""
    assert path.name == "README.md" or re.fullmatch(rf"\+[a-z0-9-]+\.({'|'.join(KINDS)})\.md", path.name)
