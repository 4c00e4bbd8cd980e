"""``python -m tests.bench page``: figures of results in pages and charts, losses beside wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .__main__ import main

PLACE = """before
<!-- figures -->
old
<!-- end of figures -->
between
<!-- figures 1 -->
<!-- end of figures -->
after
"""


def result(*gains: float) -> dict[str, Any]:
    """A result with a row for each gain of ``trio_rio``."""
    return {
        "cells": [
            {
                "workload": "echo",
                "connections": 10**place,
                "message_bytes": 64,
                "pipeline": 1,
                "discipline": "lockstep",
                "opponents": {
                    "trio": {"gain": None},
                    "trio_rio": {"gain": {"median": gain, "min": gain / 2, "max": gain * 2}},
                },
            }
            for place, gain in enumerate(gains)
        ]
    }


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A result with a loss and a win, and a page."""
    measured, page = tmp_path / "result.json", tmp_path / "page.md"
    measured.write_text(json.dumps(result(0.9, 1.5)))
    page.write_text(PLACE)
    return measured, page


def test_a_table_stands_between_the_comments(files: tuple[Path, Path]) -> None:
    """All rows, or the first ones; a loss is bold, and what stood there is gone."""
    measured, page = files
    assert main(["page", str(measured), "--pages", str(page)]) == 0
    text = page.read_text()
    assert "| echo, 1 connection, 64 B | **0.90** (0.45 .. 1.80) |" in text
    assert text.count("| echo, 1 connection, 64 B |") == 2
    assert text.count("| echo, 10 connections, 64 B | 1.50 (0.75 .. 3.00) |") == 1
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_twice_is_once(files: tuple[Path, Path]) -> None:
    """The same result leaves the page as it is."""
    measured, page = files
    main(["page", str(measured), "--pages", str(page)])
    once = page.read_text()
    main(["page", str(measured), "--pages", str(page)])
    assert page.read_text() == once


def test_a_page_without_a_place_is_refused(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """In one sentence that says what is missing."""
    measured, page = files
    page.write_text("no place")
    assert main(["page", str(measured), "--pages", str(page)]) == 2
    assert "no place for figures" in capsys.readouterr().err


def test_what_is_no_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name."""
    other = tmp_path / "other.json"
    other.write_text("[]")
    assert main(["page", str(other)]) == 2
    assert "other.json is no result" in capsys.readouterr().err


@pytest.mark.no_ledger("matplotlib keeps the files of its fonts open")
def test_charts_are_drawn_for_light_and_dark(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Two pictures of the same bars, in colours that can be seen."""
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    measured, _ = files
    assert main(["page", str(measured), "--charts", str(tmp_path)]) == 0
    for theme in ("light", "dark"):
        assert (tmp_path / f"performance-{theme}.svg").read_text().lstrip().startswith("<?xml")
