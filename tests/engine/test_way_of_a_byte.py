"""A byte passes the rooms that the documents say it passes, and no other."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio._engine.fields import native

from .harness import tcp_pair

PAGE = Path(__file__).parents[2] / "docs" / "design" / "architecture.md"
PACKAGE = Path(trio_rio.__file__).parent


def rooms_of_the_page() -> set[str]:
    """The modules and folders that the table of the page names."""
    rows = re.findall(r"^\| \d \| `([\w/.]+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == 6
    return {room for name, text in rows for room in [name, *re.findall(r"\(`([\w/.]+)`\)", text)]}


async def rooms_passed() -> set[str]:
    """What runs between the kernel's answer and the task that has waited."""
    passed: set[str] = set()

    def note(frame: FrameType, event: str, argument: object) -> None:
        path = Path(frame.f_code.co_filename)
        of = getattr(argument, "__self__", None)
        if event == "call" and path.is_relative_to(PACKAGE):
            passed.add(path.relative_to(PACKAGE).as_posix())
        elif event == "c_call" and type(of).__module__ == "trio_rio._engine._native":
            passed.add("_engine/native")
        elif event == "c_call" and "lib" in str(of):
            passed.add("rio/native")

    async def receive() -> None:
        stream = trio_rio.RioStream(server)
        assert await stream.receive_some() == b"first"
        sys.setprofile(note)
        assert await stream.receive_some() == b"second"
        sys.setprofile(None)

    client, server = await tcp_pair()
    with client, server:
        await client.send(b"first")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            passed.clear()  # of the post
            client._sock.send(b"second")  # type: ignore[attr-defined]
    return passed


@pytest.mark.providers("uring")
@pytest.mark.rio_config(engine="python")
async def test_a_received_byte_passes_the_rooms_of_the_page() -> None:
    """The rooms of the page's table, and no others."""
    passed, rooms = await rooms_passed(), rooms_of_the_page()
    assert {room for room in passed if not any(room.startswith(known) for known in rooms)} == set()
    assert {known for known in rooms if not any(room.startswith(known) for room in passed)} == set()


@pytest.mark.providers("uring")
@pytest.mark.skipif(native is None, reason="there is no engine in C")
async def test_with_the_engine_in_c_it_passes_fewer() -> None:
    """C, and what makes tasks runnable, as the page says below the table."""
    assert await rooms_passed() == {"_engine/native", "_trio.py"}
