"""The table in docs/maintainers/conformance.md and the tests say the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import attrs
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
STATEMENTS = 60


@attrs.frozen
class Row:
    """One statement: its number, class, tests (``file::function``) and remark."""

    number: int
    rating: str
    tests: tuple[str, ...]
    remark: str


def rows() -> list[Row]:
    found = []
    for line in (ROOT / "docs" / "maintainers" / "conformance.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| RC-"):
            name, rating, _, tests, remark = (cell.strip() for cell in line.strip("|").split(" | "))
            found.append(Row(int(name[3:]), rating, tuple(re.findall(r"`([^`]+::[^`]+)`", tests)), remark))
    return found


def functions(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def test_the_table_has_every_statement_once() -> None:
    """There is one row for each of RC-01 to RC-60, in order, with its class."""
    assert [row.number for row in rows()] == list(range(1, STATEMENTS + 1))
    assert {row.rating for row in rows()} == {"A", "B", "L"}


def test_the_table_and_the_tests_agree() -> None:
    """Each test of a statement in this directory is in the statement's row, and each test in a row exists."""
    written = {
        (int(match[1]), f"{path.name}::{name}")
        for path in HERE.glob("test_*.py")
        for name in functions(path)
        if (match := re.match(r"test_rc_(\d\d)[a-z]?_", name))
    }
    listed = {(row.number, test) for row in rows() for test in row.tests if "/" not in test}
    assert listed == written


def test_tests_elsewhere_have_the_name_of_their_statement() -> None:
    """A row may point outside this directory: to a test named after the statement, which exists if its file does."""
    for row in rows():
        for test in row.tests:
            if "/" in test:
                path, name = test.split("::")
                assert name.startswith(f"test_rc_{row.number:02}")
                if (ROOT / path).exists():
                    assert any(function.startswith(name) for function in functions(ROOT / path)), test


@pytest.mark.parametrize("row", [row for row in rows() if not row.tests], ids=lambda row: f"RC-{row.number:02}")
def test_a_statement_without_a_test_says_why(row: Row) -> None:
    """Where no test is listed, the remark says where the statement cannot apply."""
    assert "only" in row.remark
