"""Addresses that programs give to datagram channels: what went wrong once."""

from __future__ import annotations

import socket

import pytest
from trio.testing import assert_checkpoints

from trio_rio.rio import pack_address

from ..engine.datagrams import ALL_CARRIERS, address_of, open_local, open_two

pytestmark = ALL_CARRIERS


@pytest.mark.parametrize(
    "address",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"127.0.0.1", id="text"),
        pytest.param(pack_address(socket.AF_INET, ("127.0.0.1", 9)), id="packed"),
    ],
)
async def test_bytes_are_no_address(address: bytes) -> None:
    """An address of type bytes is refused, and nothing was sent, whatever else is to be sent with it."""
    async with open_two() as (one, other):
        to = address_of(other)
        with assert_checkpoints(), pytest.raises(TypeError, match="an address of this channel is a tuple"):
            await one.send(b"x", address)  # type: ignore[arg-type]
        with assert_checkpoints(), pytest.raises(TypeError, match="an address of this channel is a tuple"):
            await one.send_many([(b"good", to), (b"A" * 40, address)])  # type: ignore[list-item]
        await one.send_many([(b"the first", to)])
        assert (await other.receive())[0] == b"the first"


@pytest.mark.parametrize(
    ("rest", "complaint"),
    [
        ((-1, 0), "flowinfo"),
        ((1 << 20, 0), "flowinfo"),
        (("0", 0), "flowinfo"),
        ((0, -1), "scope id"),
        ((0, 1 << 32), "scope id"),
    ],
)
async def test_numbers_out_of_range_are_refused(rest: tuple[int, int], complaint: str) -> None:
    """A flowinfo or a scope id that no socket takes is a ValueError that names it, each time."""
    async with await open_local(socket.AF_INET6) as channel:
        for _ in range(2):
            with assert_checkpoints(), pytest.raises(ValueError, match=f"the {complaint} of an address"):
                await channel.send(b"x", ("::1", 9, *rest))


@pytest.mark.parametrize("rest", [(-1, 0), (1 << 32, 0), (0, -1), (0, 1 << 32)])
def test_numbers_that_have_no_room_are_refused(rest: tuple[int, int]) -> None:
    """pack_address raises ValueError for what does not fit into a SOCKADDR_INET."""
    with pytest.raises(ValueError, match="must be within"):
        pack_address(socket.AF_INET6, ("::1", 9, *rest))
