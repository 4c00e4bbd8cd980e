"""The errors that are trio_rio's own."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

import trio_rio
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


PUBLIC = [value for name in trio_rio.__all__ if isinstance(value := getattr(trio_rio, name), type)]


@pytest.mark.parametrize("kind", [one for one in PUBLIC if issubclass(one, Exception)])
def test_tracebacks_name_what_a_program_can_import(kind: type[Exception]) -> None:
    """An error is shown by the name under which a program gets it, not by that of a module inside."""
    assert traceback.format_exception_only(kind.__new__(kind))[0].startswith(f"trio_rio.{kind.__name__}")


def test_an_error_of_the_table_is_named_after_the_package_of_the_table() -> None:
    """RioCallError, which only callers of the function table see, is shown as trio_rio.rio.RioCallError."""
    error = RioCallError("RIOSend", 10022, "why")
    assert traceback.format_exception_only(error)[0].startswith("trio_rio.rio.RioCallError: ")
