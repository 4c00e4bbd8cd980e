"""Sizes that are no plain positive integers, with receives posted ahead: what went wrong once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from ..engine.harness import open_pair, udp_socket
from ..platforms import HAS_RECVMSG, IS_WINDOWS, needs_recvmsg

pytestmark = pytest.mark.rio_config(cancellation="detach")


class Five:
    """An integer for whoever asks politely."""

    def __index__(self) -> int:
        return 5


@pytest.mark.timeout(20)
async def test_a_size_that_is_like_an_integer() -> None:
    """An object with ``__index__`` is a size: once such a receive went past the posted one and spun for ever."""
    async with open_pair() as (client, server):
        with trio.move_on_after(0.01):
            await client.recv(10)
        await server.send(b"0123456789")
        size: Any = Five()
        assert await client.recv(size) == b"01234"
        assert await client.recv(True) == b"5"
        if HAS_RECVMSG:
            assert (await client.recvmsg(size))[0] == b"6789"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("receive", "expected"),
    [
        (lambda sock: sock.recvfrom(0), b""),
        (lambda sock: sock.recvfrom_into(bytearray()), 0),
        pytest.param(lambda sock: sock.recvmsg(0), b"", marks=needs_recvmsg),
    ],
    ids=["recvfrom", "recvfrom_into", "recvmsg"],
)
async def test_no_bytes_of_a_datagram(receive: Callable[..., Any], expected: object) -> None:
    """A receive of 0 bytes that asks the system takes one datagram, one that was received ahead too."""
    with await udp_socket() as receiver, await udp_socket() as sender:
        with trio.move_on_after(0.01):
            await receiver.recv(10)
        await sender.sendto(b"first", receiver.getsockname())
        await sender.sendto(b"second", receiver.getsockname())
        if IS_WINDOWS:  # a datagram that is cut off is an error there
            with pytest.raises(OSError):
                await receive(receiver)
        else:
            assert (await receive(receiver))[0] == expected
        assert await receiver.recv(10) == b"second"
