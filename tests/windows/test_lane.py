"""The Windows lane can be built here, and its function table keeps RIO's rules. The rest of it is a lane of .ci/run."""

from __future__ import annotations

import os

import pytest

from . import machine, plan


@pytest.mark.timeout(600)
@pytest.mark.skipif(os.name == "nt", reason="this is Windows")
@pytest.mark.no_ledger("Wine leaves a server running for a moment")
def test_the_table_of_the_lane() -> None:
    """Windows CPython starts under Wine, finds RIO, and each misuse of it is reported."""
    problem = machine.missing()
    if problem is not None:
        assert not os.environ.get("CI"), f"the Windows lane cannot run: {problem}"
        pytest.skip(f"the Windows lane cannot run: {problem}")
    outcome = plan.run_setup(plan.TABLE)
    assert outcome.is_good, outcome.problems
