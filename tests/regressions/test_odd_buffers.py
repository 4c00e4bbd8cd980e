"""Buffers of every shape given to send(): what went wrong once."""

from __future__ import annotations

import array
import ctypes
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
import trio

from trio_rio.testing import assert_ledger_balanced

from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, open_pair, receive_exactly

pytestmark = BOTH_MODES


class WithoutTruth(bytearray):
    """A buffer that says no more than an array of numpy whether it is true."""

    def __bool__(self) -> NoReturn:
        raise ValueError("the truth value of an array is ambiguous")


BUFFERS: dict[str, Callable[[], Any]] = {
    "two dimensions": lambda: memoryview(bytes(range(12))).cast("B", shape=[3, 4]),
    "no truth value": lambda: WithoutTruth(range(12)),
    "wide items": lambda: array.array("I", [1, 2, 3]),
    "ctypes": lambda: (ctypes.c_int32 * 3)(1, 2, 3),
}


@pytest.mark.parametrize("make", BUFFERS.values(), ids=BUFFERS)
async def test_send_takes_what_has_a_buffer(make: Callable[[], Any], mode: str) -> None:
    """send() sends all bytes of a buffer, whatever its shape, the first time and later, and loses no request."""
    async with open_pair() as (sock, peer):
        data = make()
        for _ in range(2):
            assert await sock.send(data) == 12
            with trio.fail_after(PATIENCE_SECONDS):
                assert await receive_exactly(peer, 12) == memoryview(data).tobytes()
        assert_ledger_balanced()


async def test_send_says_that_a_list_is_no_buffer(mode: str) -> None:
    """send() of what has no buffer is a TypeError on a socket that has sent before, an empty one too."""
    async with open_pair() as (sock, _):
        await sock.send(b"x")
        for data in ([], [1]):
            with pytest.raises(TypeError):
                await sock.send(data)  # type: ignore[arg-type]
        assert_ledger_balanced()
