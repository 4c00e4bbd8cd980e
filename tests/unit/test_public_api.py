"""The public names are those of the recorded list: none is lost, changed or new without somebody having meant it.

The list is ``public_api.txt`` beside this file. After a change that is meant: ``python tests/unit/test_public_api.py``
writes it anew, and the difference is part of the change.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LIST = Path(__file__).with_name("public_api.txt")
MODULES = ("trio_rio", "trio_rio.rio", "trio_rio.testing", "trio_rio.monitoring", "trio_rio.pytest_plugin")


def public_names(module: Any) -> list[str]:
    """What a module has for others: its ``__all__``, or what it defines without an underscore."""
    defined = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    return sorted(name for name in getattr(module, "__all__", defined) if not name.startswith("_"))


def shown(value: object) -> str:
    """A callable by its signature, without addresses; a constant by its value; anything else by its kind."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if typing.get_origin(value) is not None or isinstance(value, enum.EnumMeta):
        return "(...)"  # what `inspect` says of those is another thing in each Python
    if callable(value):
        try:
            return re.sub(r" at 0x[0-9a-f]+", "", str(inspect.signature(value)))
        except (TypeError, ValueError):
            return "(...)"
    if isinstance(value, (int, str)):
        return f" = {value!r}"
    return f": {type(value).__name__}"


def attributes_of(value: type) -> set[str]:
    """The public attributes that a class, or one that it is made of, has from this package."""
    own = [one for one in value.__mro__ if one.__module__.startswith("trio_rio")]
    names = {name for one in own for name in (*vars(one), *vars(one).get("__annotations__", ()))}
    return {name for name in names if not name.startswith("_")}


def attribute_of(kind: type, name: str) -> object:
    """The attribute; of a method that begins in C the one in Python that it stands for, which is there always."""
    found = inspect.getattr_static(kind, name, None)
    return inspect.getattr_static(kind, f"_{name}", found) if inspect.ismethoddescriptor(found) else found


def lines() -> Iterator[str]:
    """One line for each public name, and for each public attribute of a public class."""
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in public_names(module):
            value = getattr(module, name)
            yield f"{module_name}.{name}{shown(value)}"
            if isinstance(value, type) and not issubclass(value, enum.Enum):
                for attribute in sorted(attributes_of(value)):
                    yield f"{module_name}.{name}.{attribute}{shown(attribute_of(value, attribute))}"


@pytest.mark.skipif(sys.platform == "win32", reason="the list is of POSIX, where some constants have other values")
def test_the_public_names_are_the_recorded_ones() -> None:
    """What importing the package gives is what the list says."""
    recorded, found = LIST.read_text(encoding="utf-8").splitlines(), list(lines())
    gone = [f"- {line}" for line in recorded if line not in found]
    new = [f"+ {line}" for line in found if line not in recorded]
    if gone or new or recorded != found:
        changed = "\n".join(gone + new) or "another order"
        pytest.fail(f"the public API has changed; if that is meant: python tests/unit/test_public_api.py\n{changed}")


if __name__ == "__main__":
    LIST.write_text("\n".join(lines()) + "\n", encoding="utf-8")
