"""Which versions of Trio were tried, and what is said of others.

Facts. trio_rio touches Trio's inside, which any release may change. What was renamed would be missed in the middle of a
run, or, worse, be set where nobody reads it.

Decision. Two checks, both at import. A version that the tests have not seen is warned of, since it most likely works.
A name that is gone ends the import, and the message says which one.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

#: ``nox -s lowest`` runs the tests with the oldest, ``nox -s trio_suite`` Trio's own suite with the newest.
OLDEST_TRIED = "0.31"
NEWEST_TRIED = "0.35"

_RANGE = f"Trio {OLDEST_TRIED} to {NEWEST_TRIED}"


class UntriedTrioWarning(UserWarning):
    """The installed Trio is none of those that this version of trio_rio was tried with."""


def _minor(version: str) -> tuple[int, int]:
    """The first two numbers of the version of a release.

    Raises:
      ValueError: it is none: a development version, a candidate.
    """
    match = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)*", version)
    if match is None:
        raise ValueError(version)
    return int(match[1]), int(match[2])


def warn_if_untried(version: str) -> None:
    """Warn if this version of Trio is outside of the range that was tried."""
    try:
        if _minor(OLDEST_TRIED) <= _minor(version) <= _minor(NEWEST_TRIED):
            return
    except ValueError:
        pass
    warnings.warn(
        f"trio_rio was not tried with Trio {version}, but with {_RANGE}: look for a newer trio_rio, or see what "
        "`python -m trio_rio selftest` says; its documentation has a page about versions of Trio",
        UntriedTrioWarning,
        stacklevel=3,
    )


def unsupported(version: str, what: str) -> ImportError:
    """The error of an import beside a Trio that has changed; ``what`` says how."""
    return ImportError(
        f"trio_rio cannot work with Trio {version}: {what}. It was tried with {_RANGE}: install one of these, or a "
        "newer trio_rio",
        name="trio",
    )


def find_missing(needed: Mapping[Any, Sequence[str]]) -> list[str]:
    """The full names of what is not there, of these names of modules and classes.

    What instances have is there too, if the class says so, or its initialiser sets it.
    """
    return [
        f"{getattr(owner, '__module__', '')}.{owner.__qualname__}.{name}".lstrip(".")
        if isinstance(owner, type)
        else f"{owner.__name__}.{name}"
        for owner, names in needed.items()
        for name in names
        if not (hasattr(owner, name) or name in _set_at_first(owner))
    ]


def _set_at_first(owner: Any) -> set[str]:
    """Names that the initialisers of a class use, the attributes that they set among them."""
    if not isinstance(owner, type):
        return set()
    codes = [getattr(vars(one).get("__init__"), "__code__", None) for one in owner.__mro__]
    return {name for code in codes if code is not None for name in code.co_names}
