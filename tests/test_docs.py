"""The documentation builds without a warning, and what it says can be run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import trio_rio

from .pages import PAGES, ROOT, blocks_of

# What fits into a block of code where the window is wide enough for it and the table of contents.
CODE_WIDTH = 88

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the pages that Sphinx has built, with warnings as errors."""
    folder = tmp_path_factory.mktemp("html")
    for name in ("sphinx", "furo", "myst_parser", "sphinx_copybutton", "sphinx_design", "sphinxcontrib_trio"):
        pytest.importorskip(name)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return folder


def test_the_documentation_builds(built: Path) -> None:
    """Sphinx builds all pages with warnings as errors."""
    assert (built / "index.html").exists()


def test_the_reference_shows_options_as_sentences(built: Path) -> None:
    """Each option has its text as it was written, colons and all, and its default."""
    page = (built / "reference" / "api.html").read_text(encoding="utf-8")
    options = [field.name for field in attrs.fields(trio_rio.RioConfig)]
    assert [name for name in options if f'id="trio_rio.RioConfig.{name}"' not in page] == []
    assert page.count("<p>Default: ") == len(options)
    text = re.sub("<[^>]*>", "", page)
    assert re.search(r"How completions are collected\. .port.: a packet", text)


def test_the_documentation_has_the_changelog(built: Path) -> None:
    """A page of its own shows what each release brought; the front page leads to it."""
    page = (built / "changelog.html").read_text(encoding="utf-8")
    assert re.search(rf"<h2>{re.escape(trio_rio.__version__)} \(\d+-\d\d-\d\d\)", page)
    assert 'href="changelog.html"' in (built / "index.html").read_text(encoding="utf-8")


def test_links_between_files_lead_somewhere() -> None:
    """Each relative link in a page names a file that exists."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []


def test_links_have_words() -> None:
    """No link is without a text: outside of Sphinx it reads as nothing."""
    assert [page.name for page in PAGES if "[](" in page.read_text(encoding="utf-8")] == []


def test_code_fits_into_the_page() -> None:
    """No line of a block of code is longer than a page of the documentation is wide."""
    long = [
        f"{block.page}:{block.line + number}"
        for page in (ROOT / "docs").rglob("*.md")
        if "_build" not in page.parts
        for block in blocks_of(page)
        if not block.language.startswith("{")
        for number, line in enumerate(block.text.splitlines(), 1)
        if len(line) > CODE_WIDTH
    ]
    assert long == []


def test_names_in_code_break_between_their_words(built: Path) -> None:
    """A long name in a cell may be broken after an underscore, a short one and an option nowhere."""
    page = (built / "reference" / "monitoring.html").read_text(encoding="utf-8")
    assert ">TRIO_<wbr>RIO_<wbr>STATISTICS=<wbr>1<" in page
    assert ">statistics<" in page


@pytest.mark.parametrize("ending", ["-m trio_rio demo", "-m pytest"])
def test_the_readme_has_one_command_for_each(ending: str) -> None:
    """README.md has exactly one line that does all the set-up and ends with each of the two commands."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if line.startswith("python3 -m venv ") and line.endswith(ending)]) == 1
