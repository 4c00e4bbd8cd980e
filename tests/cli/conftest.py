"""What all tests of the command line have in common."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def lines_of_any_length() -> Iterator[None]:
    """Lines stay whole, as in a pipe, however wide the terminal of these tests is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        yield
