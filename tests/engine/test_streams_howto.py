"""What the how-to about streams shows does what it says."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import trio_rio

from .harness import python, tcp_pair

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "streams.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def names_of(marker: str) -> dict[str, Any]:
    """What the one block that has this marker defines."""
    (block,) = [block for block in BLOCKS if marker in block]
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)  # the page is ours
    return names


def test_the_server_and_the_client_run(rio_provider: str) -> None:
    """The first program prints what came back."""
    assert python(BLOCKS[0], provider=rio_provider).stdout == "b'hello'\n"


async def test_the_functions_with_leases_work() -> None:
    """A record and a line arrive as they were filled in, and lines are counted where they lie."""
    client, server = map(trio_rio.RioStream, await tcp_pair())
    async with client, server:
        await names_of("def send_record")["send_record"](client, 7)
        assert struct.unpack("!IQ", await server.receive_some()) == (8, 7)
        await names_of("def send_line")["send_line"](client, "one\ntwo\n")
        await client.send_eof()
        assert await names_of("def count")["count"](server) == 2
