"""``python -m tests.bench page``: figures of results in pages and charts, losses beside wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .__main__ import main

PLACE = """before
<!-- figures lockstep -->
old
<!-- end of figures -->
between
<!-- figures lockstep 1 -->
<!-- end of figures -->
<!-- figures others -->
stays
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
    assert main(["page", f"lockstep={measured}", "--pages", str(page)]) == 0
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
    main(["page", f"lockstep={measured}", "--pages", str(page)])
    once = page.read_text()
    main(["page", f"lockstep={measured}", "--pages", str(page)])
    assert page.read_text() == once


def gain(median: float) -> dict[str, float]:
    """A gain of one round."""
    return {"median": median, "min": median, "max": median}


def filled(tmp_path: Path, result: dict[str, Any]) -> str:
    """A page with the table of a result."""
    measured, page = tmp_path / "result.json", tmp_path / "page.md"
    measured.write_text(json.dumps(result))
    page.write_text("<!-- figures it -->\n<!-- end of figures -->\n")
    assert main(["page", f"it={measured}", "--pages", str(page)]) == 0
    return page.read_text()


def test_a_place_of_another_name_stays(files: tuple[Path, Path]) -> None:
    """What stands there is not of these results."""
    measured, page = files
    main(["page", f"lockstep={measured}", "--pages", str(page)])
    assert "<!-- figures others -->\nstays\n<!-- end of figures -->" in page.read_text()


def test_a_rate_has_its_round_trips(tmp_path: Path) -> None:
    """Beside the rate; of round trips less is better, and more than stock Trio's is a loss."""
    measured = result(1.5)
    cell = measured["cells"][0]
    cell["discipline"] = "rate"
    cell["opponents"]["trio_rio"]["latency_us"] = {"p50": {"ratio": gain(0.5)}, "p99": {"ratio": gain(1.25)}}
    text = filled(tmp_path, measured)
    assert "| rate, and round trips, divided by stock Trio's |" in text
    assert "| 1.50 (0.75 .. 3.00); p50 0.50, p99 **1.25** |" in text


def test_programs_have_a_table(tmp_path: Path) -> None:
    """A row for each, a column for each way to run it."""
    variants = {"stock": {"gain": None}, "uring": {"gain": gain(1.25)}, "portable": {"gain": gain(0.75)}}
    text = filled(tmp_path, {"programs": [{"title": "A server", "connections": 4, "variants": variants}]})
    assert "| on trio_rio, io_uring | on trio_rio, portable |" in text
    assert "| A server, 4 connections | 1.25 (1.25 .. 1.25) | **0.75** (0.75 .. 0.75) |" in text


def test_memory_has_a_table(tmp_path: Path) -> None:
    """One row, with the bytes of each."""
    entries = {
        "trio": {"gain": None, "figure": {"median": 5000}},
        "trio_rio": {"gain": gain(1.25), "figure": {"median": 4000}},
    }
    text = filled(tmp_path, {"memory": entries, "arguments": {"connections": 10_000, "exchanges": 5}})
    assert "10,000 connections, idle after 5 exchanges; stock Trio 5.0 KB each | 1.25 (1.25 .. 1.25); 4.0 KB |" in text


def test_a_result_without_a_name_is_refused(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """With an example of how it is given."""
    assert main(["page", str(files[0])]) == 2
    assert "NAME=RESULT.json" in capsys.readouterr().err


def test_kinds_do_not_mix(files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table has one heading."""
    rates = result(1.5)
    rates["cells"][0]["discipline"] = "rate"
    (tmp_path / "rates.json").write_text(json.dumps(rates))
    assert main(["page", f"it={files[0]}", f"it={tmp_path / 'rates.json'}"]) == 2
    assert "named it do not go into one table" in capsys.readouterr().err


def test_a_page_without_a_place_is_refused(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """In one sentence that says what is missing."""
    measured, page = files
    page.write_text("no place")
    assert main(["page", f"lockstep={measured}", "--pages", str(page)]) == 2
    assert "no place for figures" in capsys.readouterr().err


def test_what_is_no_result_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By its name."""
    other = tmp_path / "other.json"
    other.write_text("[]")
    assert main(["page", f"lockstep={other}"]) == 2
    assert "other.json is no result" in capsys.readouterr().err


@pytest.mark.no_ledger("matplotlib keeps the files of its fonts open")
def test_charts_are_drawn_for_light_and_dark(files: tuple[Path, Path], tmp_path: Path) -> None:
    """Two pictures of the same bars, in colours that can be seen."""
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    measured, _ = files
    assert main(["page", f"lockstep={measured}", "--charts", str(tmp_path)]) == 0
    for theme in ("light", "dark"):
        assert (tmp_path / f"performance-{theme}.svg").read_text().lstrip().startswith("<?xml")
