"""Data of a stream whose items are wider than a byte: what went wrong once."""

from __future__ import annotations

import array
import ctypes
from typing import Any

import pytest
import trio

import trio_rio

from ..engine.harness import BOTH_MODES, tcp_pair

pytestmark = BOTH_MODES

WORDS = array.array("Q", range(100_000))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(memoryview(WORDS), id="words"),
        pytest.param(memoryview(WORDS).cast("B").cast("B", (8, 100_000)), id="rows"),
        pytest.param((ctypes.c_uint64 * 100_000)(*WORDS), id="ctypes"),
    ],
)
async def test_all_bytes_are_sent(data: Any) -> None:
    """send_all sends every byte of a buffer, also where its items or its rows are not bytes."""
    client, server = map(trio_rio.RioStream, await tcp_pair())
    received = bytearray()

    async def receive() -> None:
        async for some in server:
            received.extend(some)

    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await client.send_all(data)
        await client.send_eof()
    assert received == WORDS.tobytes()
