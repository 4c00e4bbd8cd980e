"""The design pages say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from trio_rio._engine.requests import TRANSITIONS

DESIGN = Path(__file__).parents[2] / "docs" / "design"


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
