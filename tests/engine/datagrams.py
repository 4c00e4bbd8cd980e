"""What the tests of datagram channels share."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import trio

import trio_rio
from trio_rio import DatagramChannel

# Each test of a module on RIO with and without cancelling of requests, and without RIO: where its memory is used up.
ALL_CARRIERS = [
    pytest.mark.usefixtures("mode"),
    pytest.mark.parametrize(
        "mode",
        [
            "request",
            pytest.param("detach", marks=pytest.mark.rio_config(cancellation="detach")),
            pytest.param(
                "plain", marks=pytest.mark.rio_config(registered_bytes_max=65536, large_slice_size_bytes=4096)
            ),
        ],
        indirect=True,
    ),
]
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
FAMILIES = [pytest.param(socket.AF_INET, id="ipv4"), pytest.param(socket.AF_INET6, id="ipv6")]


async def open_local(
    family: int = socket.AF_INET, *, receives_posted: int = 64, receive_size_bytes: int = 65535
) -> DatagramChannel:
    """A channel on loopback, with room for many datagrams."""
    channel = await trio_rio.open_datagram_channel(
        (LOOPBACK[socket.AddressFamily(family)], 0),
        receives_posted=receives_posted,
        receive_size_bytes=receive_size_bytes,
    )
    channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    return channel


@contextlib.asynccontextmanager
async def open_two(
    family: int = socket.AF_INET, *, receives_posted: int = 64, receive_size_bytes: int = 65535
) -> AsyncIterator[tuple[DatagramChannel, DatagramChannel]]:
    """Two channels on loopback, not connected."""
    options = {"receives_posted": receives_posted, "receive_size_bytes": receive_size_bytes}
    async with await open_local(family, **options) as one, await open_local(family, **options) as other:
        yield one, other


def address_of(channel: DatagramChannel) -> tuple[str, int]:
    """Where a channel receives."""
    address: tuple[str, int] = channel.socket.getsockname()
    return address


@contextlib.contextmanager
def stdlib_peer(family: int = socket.AF_INET) -> Iterator[socket.socket]:
    """A blocking socket on loopback, with a time limit."""
    with socket.socket(family, socket.SOCK_DGRAM) as peer:
        peer.bind((LOOPBACK[socket.AddressFamily(family)], 0))
        peer.settimeout(10)
        yield peer


async def receive_all(channel: DatagramChannel, count: int) -> list[bytes]:
    """The data of so many datagrams, batch by batch."""
    received: list[bytes] = []
    while len(received) < count:
        received += [data for data, _ in await channel.receive_many(count - len(received))]
    return received


async def let_arrive(channel: DatagramChannel) -> None:
    """Give the run the ticks that it needs to take what is in the socket's buffer."""
    for _ in range(5):
        await trio.sleep(0.001)
