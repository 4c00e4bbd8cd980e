"""Memory for each open connection. Nothing here asserts how much it is, but of a server whose need is known."""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

import pytest

from . import __main__ as command_line
from .build import find_compiler
from .errors import BenchError
from .memory import check_descriptors, measure_memory, memory_entries, parse_resident_bytes, resident_bytes
from .opponents import Opponent

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="the load generator needs a C compiler")

KEPT_BYTES = 200_000
# Echoes, and keeps a block of a known size, every page of it in use, for each connection.
KEEPS = f"""
import json, selectors, socket
s = socket.create_server(("127.0.0.1", 0), backlog=1000)
print(json.dumps({{"port": s.getsockname()[1]}}), flush=True)
selector, blocks = selectors.DefaultSelector(), {{}}
selector.register(s, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        if key.fileobj is s:
            c, _ = s.accept()
            blocks[c] = bytearray(b"x") * {KEPT_BYTES}
            selector.register(c, selectors.EVENT_READ)
        elif data := key.fileobj.recv(64):
            key.fileobj.sendall(data)
        else:
            selector.unregister(key.fileobj)
            del blocks[key.fileobj]
            key.fileobj.close()
"""


def keeper() -> Opponent:
    return Opponent("keeper", "keeper", lambda settings: [sys.executable, "-c", KEEPS])


def test_the_resident_set_is_read() -> None:
    """Both of the kernel's files are understood, and a text without the number is an error."""
    assert parse_resident_bytes("55-ff ---p [rollup]\nRss:      2048 kB\nPss:  1 kB\n") == 2 * 1024 * 1024
    assert parse_resident_bytes("Name:\tcat\nVmRSS:\t    1024 kB\n") == 1024 * 1024
    with pytest.raises(BenchError, match="resident set"):
        parse_resident_bytes("Name: cat\n")


def test_memory_that_is_used_is_seen() -> None:
    """The resident set grows by what a process writes to."""
    before = resident_bytes(os.getpid())
    block = bytearray(b"x") * 50_000_000
    assert resident_bytes(os.getpid()) - before > 0.9 * len(block)


@needs_compiler
def test_the_need_of_a_connection_is_measured() -> None:
    """A server that keeps 200,000 bytes for each connection is seen to, and not what its first connections took."""
    measured = measure_memory(keeper(), 50, {}, settle_seconds=0.05)
    assert KEPT_BYTES <= measured["bytes_per_connection"] < 1.1 * KEPT_BYTES


def test_too_few_descriptors_are_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """More connections than files that may be open are refused with both numbers and what to do."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    check_descriptors(3900)
    with pytest.raises(BenchError, match=r"10000 connections need 10164 .* is 4096\. Remedy: .* --connections 3932"):
        check_descriptors(10_000)


def test_memory_is_compared_within_rounds() -> None:
    """Each opponent is divided by the baseline's figure of the same round; one that failed keeps its reason."""

    def samples(*figures: float) -> list[dict[str, float]]:
        return [{"round": number, "bytes_per_connection": figure} for number, figure in enumerate(figures)]

    entries = memory_entries({"trio": samples(100, 200), "x": samples(150, 300), "y": []}, {"y": "no"}, "trio")
    assert (entries["x"]["ratio"]["median"], entries["x"]["verdict"]) == (1.5, "worse")
    assert (entries["trio"]["figure"]["median"], entries["trio"]["ratio"]) == (150, None)
    assert (entries["y"]["failure"], entries["y"]["figure"]) == ("no", None)


@needs_compiler
def test_the_command_reports_each_opponent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a row for each opponent that has connections, and the JSON its samples."""
    file = tmp_path / "result.json"
    arguments = ["memory", "--opponents", "trio", "c_epoll", "--connections", "300", "--rounds", "1"]
    assert command_line.main([*arguments, "--json", str(file)]) == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[3:]} == {"trio", "c_epoll"}
    result = json.loads(file.read_text())
    assert set(result) == {"schema", "arguments", "machine", "memory", "left_out"}
    entry = result["memory"]["trio"]
    assert set(entry) == {"failure", "figure", "ratio", "gain", "verdict", "samples"}
    assert entry["samples"][0]["resident_bytes_after"] > entry["samples"][0]["resident_bytes_before"] > 0


def test_the_baseline_must_have_connections(capsys: pytest.CaptureFixture[str]) -> None:
    """A baseline that is not measured is refused."""
    assert command_line.main(["memory", "--opponents", "c_epoll"]) == 2
    assert "the baseline trio is not among the opponents" in capsys.readouterr().err
