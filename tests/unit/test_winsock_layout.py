"""What the winsock provider declares of Windows, checked on any system (RC-02, RC-03)."""

from __future__ import annotations

import uuid

import pytest

from trio_rio.rio import RIO_CORRUPT_CQ, RIO_INVALID_BUFFERID, RIO_MAX_CQ_SIZE
from trio_rio.rio.winsock import ffi

pytestmark = pytest.mark.skipif(ffi.ffi.sizeof("void *") != 8, reason="offsets are those of a 64-bit system")


@pytest.mark.parametrize("structure", ffi.LAYOUT_64)
def test_structures_have_the_layout_of_the_header(structure: str) -> None:
    """RC-03: size and offsets of each structure are the header's."""
    assert ffi.layout_of(structure) == ffi.LAYOUT_64[structure]


def test_the_table_has_thirteen_functions_in_order() -> None:
    """RC-03: one pointer after the other, Receive before Send, Close and Create before Dequeue."""
    fields = [name for name, _ in ffi.ffi.typeof("RIO_EXTENSION_FUNCTION_TABLE").fields]
    assert fields == list(ffi.LAYOUT_64["RIO_EXTENSION_FUNCTION_TABLE"][1])
    assert len(fields) == 1 + 13


def test_a_wrong_declaration_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """RC-03: an offset that differs from the header stops the import."""
    monkeypatch.setitem(ffi.LAYOUT_64, "RIO_BUF", (16, {"BufferId": 0, "Offset": 12, "Length": 8}))
    with pytest.raises(AssertionError, match="RIO_BUF"):
        ffi.check_layouts()


def test_the_guid_in_memory() -> None:
    """The bytes that WSAIoctl gets are those of WSAID_MULTIPLE_RIO as Windows lays out a GUID."""
    assert uuid.UUID("8509e081-96dd-4005-b165-9e2ee8c79e3f").bytes_le == ffi.WSAID_MULTIPLE_RIO


def test_constants() -> None:
    """RC-02: an invalid buffer id is 32 ones, not a pointer's width of them."""
    assert (RIO_INVALID_BUFFERID, RIO_CORRUPT_CQ, RIO_MAX_CQ_SIZE) == (0xFFFFFFFF, 0xFFFFFFFF, 0x8000000)


@pytest.mark.parametrize(
    ("seconds", "milliseconds"), [(0, 0), (0.0001, 1), (1, 1000), (None, 0xFFFFFFFF), (1e12, 0xFFFFFFFF)]
)
def test_times_are_rounded_up(seconds: float | None, milliseconds: int) -> None:
    """A positive time never becomes 0, and none or one that does not fit is for ever."""
    assert ffi.milliseconds(seconds) == milliseconds


def test_a_negative_time_is_refused() -> None:
    """A negative time is an error that says so."""
    with pytest.raises(ValueError, match="-1"):
        ffi.milliseconds(-1)
