"""The errors that are trio_rio's own."""

from __future__ import annotations

import copy
import pickle

import pytest

from trio_rio import RioError, RioResourceError, RioUnavailableError, TruncatedDatagramError
from trio_rio.rio import RioCallError

ERRORS: list[Exception] = [
    RioError("text"),
    RioUnavailableError("uring", "the kernel says no", "ask it again"),
    RioResourceError("room", need=2, limit=1, remedy="more room"),
    RioCallError("RIOSend", 10022, "why"),
    TruncatedDatagramError(b"x", ("127.0.0.1", 1)),
]


@pytest.mark.parametrize("error", ERRORS, ids=[type(error).__name__ for error in ERRORS])
def test_errors_can_be_copied_and_pickled(error: Exception) -> None:
    """An error that went to another process, or was copied, is the same."""
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)
