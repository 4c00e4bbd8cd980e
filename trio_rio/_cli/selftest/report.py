"""The report of a self-test: one outcome for each check and probe, and the machine that it was run on."""

from __future__ import annotations

import importlib.metadata
import platform
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Literal

import attrs

from ...rio import ProbeReport

Result = Literal["passed", "failed", "answered", "not applicable"]


@attrs.frozen
class Outcome:
    """One check or probe.

    ``result``: a check has "passed" or "failed"; a probe is "answered", with what the system did in ``detail``, or has
    "failed" to get an answer. "not applicable": this provider or system has no such question; ``detail`` says why.
    """

    id: str
    claim: str
    result: Result
    detail: str = ""
    seconds: float = 0.0


class NotApplicable(Exception):
    """Raised by a check or probe that does not apply here; the text says why."""


def outcome_of(id: str, claim: str, success: Result, function: Callable[[], object]) -> Outcome:
    """Call a check or probe, and catch what it raises."""
    start = time.perf_counter()
    try:
        detail, result = function() or "", success
    except NotApplicable as reason:
        detail, result = str(reason), "not applicable"
    except Exception as error:  # whatever it is belongs into the report
        place = traceback.extract_tb(error.__traceback__)[-1]
        detail, result = f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})", "failed"
    return Outcome(id, claim, result, str(detail), round(time.perf_counter() - start, 3))


@attrs.frozen
class SelfTest:
    """The whole report."""

    provider: str
    machine: dict[str, str]
    providers: ProbeReport
    checks: tuple[Outcome, ...]
    probes: tuple[Outcome, ...]
    speed: tuple[Outcome, ...]

    @property
    def has_failed(self) -> bool:
        """Whether a check failed. A probe without an answer is none."""
        return any(check.result == "failed" for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**attrs.asdict(self), "has_failed": self.has_failed}

    def _sections(self) -> tuple[tuple[str, tuple[Outcome, ...]], ...]:
        return ("Conformance", self.checks), ("Open questions", self.probes), ("Speed", self.speed)

    def lines(self) -> list[str]:
        """Text that can be pasted into an issue."""
        lines = [f"trio_rio self-test on provider {self.provider}", ""]
        lines += [f"{name}: {value}" for name, value in self.machine.items()]
        lines += [f"{one.name} cannot serve: {one.reason}" for one in self.providers.providers if not one.is_available]
        for title, outcomes in self._sections():
            counts = [(sum(one.result == result for one in outcomes), result) for result in _RESULTS]
            lines += ["", f"{title}: {', '.join(f'{count} {result}' for count, result in counts if count)}", ""]
            lines += [line for one in outcomes for line in _lines_of(one)]
        return lines


_RESULTS: tuple[Result, ...] = ("passed", "answered", "failed", "not applicable")


def _lines_of(outcome: Outcome) -> list[str]:
    first = f"{outcome.id:<6} {outcome.result:<14} {outcome.claim}"
    return [first, *(f"       {line}" for line in outcome.detail.splitlines())]


def describe_machine() -> dict[str, str]:
    """The versions of everything that matters."""
    machine = {
        "trio_rio": _version("trio_rio"),
        "Trio": _version("trio"),
        "cffi": _version("cffi"),
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {8 * struct.calcsize('P')} bit",
        "system": platform.platform(),
        "machine": platform.machine(),
    }
    if sys.platform == "win32":
        machine["Wine"] = wine_version() or "no"
    return machine


def wine_version() -> str:
    """Wine's version where this Windows is Wine's; empty elsewhere."""
    if sys.platform == "win32":
        import ctypes

        tell = getattr(ctypes.WinDLL("ntdll.dll"), "wine_get_version", None)
        if tell is not None:
            tell.restype = ctypes.c_char_p
            return str(tell().decode())
    return ""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
