"""House rules that a machine can check. Each message names the file and the line."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
LINE_LENGTH_MAX = 120

# Notes to oneself, spelt so that this file has none.
LEFT_OVER = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*suffixes: str) -> list[Path]:
    """The project's own files, written by hand, with one of these suffixes."""
    found = [ROOT / "noxfile.py", ROOT / "setup.py", ROOT / "_trio_rio_switch.py", ROOT / ".ci" / "run"]
    for folder in ("trio_rio", "tests", "docs"):
        found += (ROOT / folder).rglob("*")
    return sorted(
        path
        for path in found
        if path.is_file()
        and (path.suffix in suffixes or (path.name == "run" and ".sh" in suffixes))
        and not {"_build", "__pycache__"} & set(path.parts)
        and path.name != "_uring_native.c"
    )


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def python_files() -> Iterator[tuple[Path, ast.Module]]:
    for path in sources(".py"):
        yield path, ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions() -> Iterator[tuple[Path, Function]]:
    for path, tree in python_files():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield path, node


def lines_where(is_bad: Callable[[str], object], *suffixes: str) -> list[str]:
    """The places of the lines that are bad."""
    return [
        place(path, number)
        for path in sources(*suffixes)
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
        if is_bad(line)
    ]


def c_function_lengths(path: Path) -> Iterator[tuple[int, int]]:
    """First line and length of each C function: from a line at the margin with ``(`` to the next ``}`` there."""
    start = 0
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.startswith("}"):
            if start:
                yield start, number - start + 1
            start = 0
        elif re.match(r"[a-z].*\(", line) and not line.endswith(";"):
            start = number


def test_files_are_short() -> None:
    """No source file is longer than 500 lines."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources(".py", ".c", ".h", ".sh")}
    assert [place(path, length) for path, length in lengths.items() if length > FILE_LINES_MAX] == []


def test_python_functions_are_short() -> None:
    """No Python function is longer than 70 lines, its docstring included."""
    lengths = [(path, node, (node.end_lineno or 0) - node.lineno + 1) for path, node in functions()]
    assert [f"{place(p, n.lineno)} {n.name}" for p, n, length in lengths if length > FUNCTION_LINES_MAX] == []


def test_c_functions_are_short() -> None:
    """No C function is longer than 70 lines."""
    found = [(path, *item) for path in sources(".c", ".h") for item in c_function_lengths(path)]
    assert [place(path, start) for path, start, length in found if length > FUNCTION_LINES_MAX] == []


def test_lines_are_short() -> None:
    """No line of code is longer than 120 characters."""
    assert lines_where(lambda line: len(line) > LINE_LENGTH_MAX, ".py", ".c", ".h", ".sh") == []


def test_no_trailing_space() -> None:
    """No line ends with a space or a tab."""
    assert lines_where(lambda line: line != line.rstrip(), ".py", ".c", ".h", ".sh", ".md") == []


def test_nothing_is_left_over() -> None:
    """No note to oneself is left in the sources."""
    assert lines_where(LEFT_OVER.search, ".py", ".c", ".h", ".sh", ".md") == []


def test_files_end_with_a_newline() -> None:
    """Each file ends with exactly one newline."""
    texts = {path: path.read_bytes() for path in sources(".py", ".c", ".h", ".sh", ".md")}
    bad = [path for path, text in texts.items() if text and (not text.endswith(b"\n") or text.endswith(b"\n\n"))]
    assert [place(path, 1) for path in bad] == []


def test_modules_say_what_they_are() -> None:
    """Each Python module has a docstring."""
    assert [place(path, 1) for path, tree in python_files() if ast.get_docstring(tree) is None] == []


def test_tests_say_what_they_claim() -> None:
    """Each test function has a docstring: the claim that it checks."""
    tests = [(path, node) for path, node in functions() if path.name.startswith("test_")]
    silent = [(p, n) for p, n in tests if n.name.startswith("test_") and ast.get_docstring(n) is None]
    assert [f"{place(path, node.lineno)} {node.name}" for path, node in silent] == []


def test_public_names_are_documented() -> None:
    """Each public function and class of the package has a docstring."""
    silent = [
        f"{place(path, node.lineno)} {node.name}"
        for path, tree in python_files()
        if path.is_relative_to(ROOT / "trio_rio")
        for node in tree.body
        if isinstance(node, (Function, ast.ClassDef)) and not node.name.startswith("_")
        if ast.get_docstring(node) is None
    ]
    assert silent == []


def test_no_function_rebinds_a_global() -> None:
    """The package has no ``global`` statement: everything hangs on the run."""
    found = [
        place(path, node.lineno)
        for path, tree in python_files()
        if path.is_relative_to(ROOT / "trio_rio")
        for node in ast.walk(tree)
        if isinstance(node, ast.Global)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("static int f(int a) {\n  return a;\n}\n", [(1, 3)]),
        ("int f(int a,\n      int b)\n{\n  return a;\n}\n", [(1, 5)]),
        ("int f(int a);\nstruct s {\n  int x;\n};\n", []),
    ],
)
def test_c_functions_are_found(tmp_path: Path, text: str, lengths: list[tuple[int, int]]) -> None:
    """The length of a C function is counted in both styles of braces, and only functions are."""
    path = tmp_path / "a.c"
    path.write_text(text)
    assert list(c_function_lengths(path)) == lengths
