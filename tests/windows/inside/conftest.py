"""Tests that run inside the Windows lane: python -m tests.windows tests. Elsewhere they are not collected."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import raw
from .harness import Bench, Reports

IS_LANE = sys.platform == "win32" and "TRIO_RIO_LANE_DLL" in os.environ

collect_ignore_glob = [] if IS_LANE else ["test_*.py"]


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A fresh table, memory of 4096 bytes, and a polled completion queue for 64 results."""
    with raw.new_socket() as sock:
        table = raw.open_table(sock)
    assert table is not None
    bench = Bench(table, raw.Memory(table), table.RIOCreateCompletionQueue(64, raw.ffi.NULL))
    yield bench
    for sock in bench.sockets:
        sock.close()
    while bench.dequeue():
        pass
    table.RIOCloseCompletionQueue(bench.queue)
    table.RIODeregisterBuffer(bench.memory.id)


@pytest.fixture
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reports:
    """Reports of this test go into a file of its own, and do not fail the run."""
    path = tmp_path / "misuse.txt"
    monkeypatch.setenv("TRIO_RIO_LANE_MISUSE", str(path))
    return Reports(path)


@pytest.fixture
def knobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``knobs(NAME=value)`` turns knobs of the table for this test."""
    dll = ctypes.CDLL(os.environ["TRIO_RIO_LANE_DLL"])

    def turn(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"TRIO_RIO_LANE_{name}", str(value))
        dll.read_knobs()

    with monkeypatch.context() as original:
        for name in [name for name in os.environ if name.startswith("TRIO_RIO_LANE_") and name != "TRIO_RIO_LANE_DLL"]:
            if name != "TRIO_RIO_LANE_MISUSE":
                original.delenv(name)
        dll.read_knobs()
        yield turn
        monkeypatch.undo()
    dll.read_knobs()
