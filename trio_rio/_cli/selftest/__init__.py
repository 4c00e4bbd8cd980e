"""``python -m trio_rio selftest``: what this machine answers, in a report that can be sent.

Facts. trio_rio's own test suite runs on Linux, and on Windows' CPython under Wine. What real Windows does where its
documentation is silent can only be seen there, mostly on machines without a checkout.

Decision. The core of the conformance suite, checks of whole runs, and one probe for each open question are part of the
package. A check is right or wrong; a probe reports. A probe that calls Windows without trio_rio's rules in
between runs in a process of its own, so that it can end no other.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import attrs

from ...rio import probe
from ...rio.chooser import check_provider_name
from ...rio.types import ProviderName
from ..text import say
from .bench import open_bench
from .checks import CHECKS, Check
from .ground import Ground
from .probes import PROBES
from .report import NotApplicable, Outcome, SelfTest, describe_machine, outcome_of
from .runs import RUN_CHECKS, run_check
from .speed import measure_speed

# How long one probe may take; a few of them wait for seconds on purpose.
_PROBE_SECONDS = 60


def selftest(provider: str | None = None) -> SelfTest:
    """Run everything on a provider.

    Args:
      provider: its name; ``None`` takes the one that a run would use.

    Raises:
      ValueError: no such provider.
      RioUnavailableError: it cannot serve here.
    """
    report = probe(provider)
    name = check_provider_name(report.chosen, "provider")
    with open_bench(name):
        pass  # a refusal comes before anything else
    checks = [check(one, name) for one in CHECKS]
    checks += [
        outcome_of(number, _claim_of(one), "passed", functools.partial(run_check, one, name))
        for number, one in RUN_CHECKS.items()
    ]
    ask = _ask_in_a_process if name == "winsock" else answer
    probes = tuple(ask(one, name) for one in PROBES)
    return SelfTest(name, describe_machine(), report, tuple(checks), probes, measure_speed(name))


def check(id: str, provider: ProviderName) -> Outcome:
    """One check, on a provider of its own."""
    function: Check = CHECKS[id]

    def run() -> str | None:
        with open_bench(provider) as bench:
            return function(bench)

    return outcome_of(id, _claim_of(function), "passed", run)


def answer(id: str, provider: ProviderName) -> Outcome:
    """One probe, in this process."""
    function = PROBES[id]

    def run() -> str:
        with open_bench(provider) as bench:
            return function(Ground.make(bench))

    return outcome_of(id, _claim_of(function), "answered", run)


def _ask_in_a_process(id: str, provider: ProviderName) -> Outcome:
    """One probe, in a process of its own."""
    claim = _claim_of(PROBES[id])
    command = [sys.executable, "-m", "trio_rio", "selftest", "--provider", provider, "--probe", id]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Outcome(id, claim, "failed", f"no end after {_PROBE_SECONDS} seconds", _PROBE_SECONDS)
    try:
        return Outcome(**json.loads(done.stdout))
    except ValueError:
        last = "\n".join((done.stdout + done.stderr).splitlines()[-5:])
        return Outcome(id, claim, "failed", f"the process ended with {done.returncode & 0xFFFFFFFF:#x}\n{last}".strip())


def _claim_of(function: object) -> str:
    return (function.__doc__ or "").strip()


def main(provider: str | None, *, as_json: bool, only: str | None) -> int:
    """The command; its exit code."""
    if only is not None:
        name = check_provider_name(provider or probe().chosen, "provider")
        print(json.dumps(attrs.asdict(answer(only, name))))
        return 0
    report = selftest(provider)
    if as_json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        for line in report.lines():
            say(line, 7)
    return int(report.has_failed)


__all__ = ["CHECKS", "PROBES", "NotApplicable", "Outcome", "SelfTest", "answer", "check", "main", "selftest"]
