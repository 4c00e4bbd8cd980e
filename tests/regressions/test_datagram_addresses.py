"""Addresses that programs give to datagram channels: what went wrong once."""

from __future__ import annotations

import socket

import pytest
from trio.testing import assert_checkpoints

from trio_rio.rio import pack_address

from ..engine.datagrams import ALL_CARRIERS, address_of, open_two

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
