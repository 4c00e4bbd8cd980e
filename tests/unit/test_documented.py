"""Each public name has a text, and the reference shows it.

A class, function, method or property says what it is in its docstring; a field, constant or type alias in a comment
that begins with ``#:``, before it or beside it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import trio_rio

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
MODULES = ("trio_rio", "trio_rio.rio", "trio_rio.testing", "trio_rio.monitoring")
DIRECTIVE = re.compile(r"^\.\. auto\w+:: (trio_rio\.[\w.]+)", re.MULTILINE)


def public_names(module_name: str) -> list[str]:
    """The names that a module has for others."""
    return [name for name in importlib.import_module(module_name).__all__ if not name.startswith("_")]


def commented(text: str) -> set[str]:
    """``NAME`` and ``Class.NAME`` of each assignment in a source that has a comment with ``#:`` and words."""
    lines = ["", *text.split("\n")]

    def found(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield from found(node.body, f"{node.name}.")
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            around = lines[node.lineno - 1].strip(), lines[node.end_lineno or node.lineno]
            if re.match(r"#: \S", around[0]) or re.search(r"  #: \S", around[1]):
                yield from (f"{prefix}{target.id}" for target in targets if isinstance(target, ast.Name))

    return set(found(ast.parse(text).body, ""))


def comments_of_the_package() -> set[str]:
    """What is commented in any module of the package."""
    paths = (ROOT / "trio_rio").rglob("*.py")
    return {name for path in paths for name in commented(path.read_text(encoding="utf-8"))}


def undocumented_members(value: type, comments: set[str]) -> Iterator[str]:
    """The public members of a class of this package that have no text."""
    for one in value.__mro__:
        if not one.__module__.startswith("trio_rio"):
            continue
        names = {*vars(one), *vars(one).get("__annotations__", ())}
        for name in sorted(name for name in names if not name.startswith("_")):
            member = vars(one).get(name)
            called = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
            if inspect.ismemberdescriptor(member):  # of C: the class that inherits it says what it is
                continue
            if inspect.isroutine(called) or isinstance(member, property):
                if not inspect.getdoc(called):
                    yield f"{one.__name__}.{name}"
            elif f"{one.__name__}.{name}" not in comments:
                yield f"{one.__name__}.{name}"


def undocumented(name: str, value: Any, comments: set[str]) -> list[str]:
    """What has no text: the name itself, or members of it."""
    if inspect.isclass(value):
        return [*([] if vars(value).get("__doc__") else [name]), *undocumented_members(value, comments)]
    if inspect.isfunction(value):
        return [] if inspect.getdoc(value) else [name]
    return [] if name in comments else [name]


@pytest.mark.parametrize("module_name", MODULES)
def test_each_public_name_has_a_text(module_name: str) -> None:
    """Nothing that a module has for others, and no field or method of it, is without a text."""
    module, comments = importlib.import_module(module_name), comments_of_the_package()
    names = public_names(module_name)
    assert [bare for name in names for bare in undocumented(name, getattr(module, name), comments)] == []


def test_the_reference_shows_each_public_name() -> None:
    """A page of the reference has each name; what two modules share stands once."""
    shown = {name for page in REFERENCE.glob("*.md") for name in DIRECTIVE.findall(page.read_text(encoding="utf-8"))}
    objects = [getattr(trio_rio, name.rpartition(".")[2], None) for name in shown]
    missing = [
        f"{module_name}.{name}"
        for module_name in MODULES
        for name in public_names(module_name)
        if f"{module_name}.{name}" not in shown
        if not any(getattr(importlib.import_module(module_name), name) is one for one in objects)
    ]
    assert missing == []


def test_each_option_names_its_unit() -> None:
    """An option that is a number has its unit in its name, or its text begins with what it is a number of."""
    text = (ROOT / "trio_rio" / "_config.py").read_text(encoding="utf-8")
    numbers = [field.name for field in attrs.fields(trio_rio.RioConfig) if str(field.type).startswith(("int", "float"))]
    assert len(numbers) > 10
    for name in numbers:
        comment = re.search(rf"((?:^ +#: .*\n)+) +{name}: ", text, re.MULTILINE)
        assert comment, name
        assert re.search(r"_(bytes|seconds)\b|_bytes_", name) or comment[1].strip().startswith("#: Number of "), name


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("class A:\n    #: What it is.\n    a: int\n    b: int\n", {"A.a"}),
        ("A = 1  #: What it is.\nB = 2  # a remark\n", {"A"}),
        ("#:\nA = 1\n", set()),
    ],
)
def test_comments_are_found(text: str, names: set[str]) -> None:
    """A comment counts that stands before or beside an assignment and has words."""
    assert commented(text) == names


def test_what_has_no_text_is_found() -> None:
    """A class without a docstring, a method without one, and a constant without a comment are reported."""
    namespace: dict[str, Any] = {"__name__": "trio_rio.example"}
    exec("class A:\n    x: int = 1\n    def f(self): ...\ndef g(): ...\n", namespace)
    assert undocumented("A", namespace["A"], set()) == ["A", "A.f", "A.x"]
    assert undocumented("g", namespace["g"], set()) == ["g"]
    assert undocumented("X", 1, set()) == ["X"]
    assert undocumented("A", namespace["A"], {"A.x"}) == ["A", "A.f"]
