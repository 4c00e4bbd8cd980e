"""The types of the public API are complete, as pyright sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_type_of_each_public_name_is_known() -> None:
    """``pyright --verifytypes`` finds no type in the public API that is unknown, nor one that must be guessed."""
    pytest.importorskip("pyright")
    # A package that is installed in place is not where pyright looks; nor does it find the environment by itself.
    path = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", "trio_rio", "--ignoreexternal", "--outputjson"],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        timeout=170,
    )
    report = json.loads(done.stdout)["typeCompleteness"]
    guessed = [
        f"{symbol['name']}: {diagnostic['message']}"
        for symbol in report["symbols"]
        if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]
        for diagnostic in symbol.get("diagnostics", ())
    ]
    assert guessed == []
    counts = report["exportedSymbolCounts"]
    assert (counts["withUnknownType"], counts["withAmbiguousType"]) == (0, 0)
    assert counts["withKnownType"] > 500
