"""The design pages say what the code does, and the engine in C knows its numbers and states from Python alone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from trio_rio._engine.requests import TRANSITIONS

DESIGN = Path(__file__).parents[2] / "docs" / "design"
ENGINE = Path(__file__).parents[2] / "trio_rio" / "_engine"

# What C may know by itself: limits that concern nobody else, and the version of Python's own interface.
CONSTANTS_OF_C = {"MISSES_MAX", "ROOM_MAX", "TRY_AGAIN", "Py_LIMITED_API"}


def test_the_picture_of_the_request_states_is_the_table() -> None:
    """Every transition of the table is in docs/design/requests.md, and no other."""
    text = (DESIGN / "requests.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^([A-Z]+) --([a-z ]+)--> ([A-Z]+)$", text, re.MULTILINE))
    table = {
        (state.name, event.value, next_state.name)
        for state, events in TRANSITIONS.items()
        for event, next_state in events.items()
    }
    assert drawn == table


def test_the_engine_in_c_has_its_numbers_from_python() -> None:
    """It defines no number that Python has, too; and writes no mask or shift."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in sorted((ENGINE / "native").glob("*.[ch]"))}
    defined = {name for text in texts.values() for name in re.findall(r"#define (\w+) +[0-9(]", text)}
    assert defined == CONSTANTS_OF_C
    assert {name for name, text in texts.items() if re.search(r"<<|INT64_MAX", text)} == set()


def test_the_engine_in_c_is_given_all_that_it_wants() -> None:
    """Each name of the lists in engine.h is a keyword of a call of setup(), or made for each method."""
    header = (ENGINE / "native" / "engine.h").read_text(encoding="utf-8")
    lists = re.findall(r"#define (?:GIVEN|NUMBERS)\(X\)((?:[^\n]*\\\n)*[^\n]*)", header)
    wanted = {name for text in lists for name in re.findall(r"X\((\w+)\)", text)}
    of_methods = {name for name in wanted if name.startswith(("end_", "wait_")) or name.endswith("_text")}
    calls = [
        node
        for path in sorted(ENGINE.parent.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "native.setup"
    ]
    given = {keyword.arg for call in calls for keyword in call.keywords if keyword.arg is not None}
    assert len(lists) == 2
    assert given == wanted - of_methods
