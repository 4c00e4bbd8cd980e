"""Opening datagram channels: addresses, families, and what goes wrong."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest
import trio
from trio.testing import assert_checkpoints

import trio_rio

from ..platforms import is_wine
from .datagrams import FAMILIES, LOOPBACK, open_local

wine_binds_to_anything = pytest.mark.skipif(is_wine(), reason="Wine binds to addresses of other machines")


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_local_address(family: int) -> None:
    """The channel is bound there; port 0 becomes a free one."""
    host = LOOPBACK[socket.AddressFamily(family)]
    async with await trio_rio.open_datagram_channel((host, 0)) as channel:
        assert channel.socket.family == family
        assert channel.socket.getsockname()[0] == host
        assert channel.socket.getsockname()[1] > 0
        with assert_checkpoints(), pytest.raises(OSError) as caught:
            await trio_rio.open_datagram_channel(channel.socket.getsockname())
        assert caught.value.errno == errno.EADDRINUSE


async def test_every_address() -> None:
    """Without a host it is every address of the machine: both families at once, or the one that was asked for."""
    for local in (None, (None, 0)):
        async with await trio_rio.open_datagram_channel(local) as channel:
            if socket.has_dualstack_ipv6():
                assert channel.socket.family == socket.AF_INET6
                assert channel.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0
        async with await trio_rio.open_datagram_channel(local, family=socket.AF_INET) as channel:
            assert channel.socket.getsockname()[0] == "0.0.0.0"
        async with await trio_rio.open_datagram_channel(local, family=socket.AF_INET6) as channel:
            assert channel.socket.getsockname()[0] == "::"
            assert channel.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_remote_address(family: int) -> None:
    """The channel is connected to it, with or without a local address."""
    async with await open_local(family) as peer:
        remote = peer.socket.getsockname()
        for local in (None, (None, 0), (LOOPBACK[socket.AddressFamily(family)], 0)):
            async with await trio_rio.open_datagram_channel(local, remote) as channel:
                assert channel.socket.getpeername() == remote
                await channel.send(b"x")
                assert await peer.receive() == (b"x", channel.socket.getsockname())


async def test_a_mapped_address() -> None:
    """An IPv4 address in IPv6 form is an IPv4 peer, or one to receive at, of an IPv6 socket."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this system has no dual-stack sockets")
    async with await trio_rio.open_datagram_channel(("::ffff:127.0.0.1", 0)) as peer:
        port = peer.socket.getsockname()[1]
        async with await trio_rio.open_datagram_channel(remote_address=("::ffff:127.0.0.1", port)) as channel:
            await channel.send(b"x")
            data, address = await peer.receive()
            assert (data, address[0]) == (b"x", "::ffff:127.0.0.1")


async def test_names() -> None:
    """Hosts may be names; the family is one that both have."""
    async with await trio_rio.open_datagram_channel(("localhost", 0), family=socket.AF_INET) as channel:
        assert channel.socket.getsockname()[0] == "127.0.0.1"
        remote = ("localhost", channel.socket.getsockname()[1])
        async with await trio_rio.open_datagram_channel(("127.0.0.1", 0), remote) as other:
            assert other.socket.getpeername() == channel.socket.getsockname()


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"local_address": "127.0.0.1"}, TypeError),
        ({"local_address": ("127.0.0.1",)}, TypeError),
        ({"remote_address": ["127.0.0.1", 9]}, TypeError),
        ({"family": 77}, ValueError),
        ({"local_address": ("127.0.0.1", 0), "family": socket.AF_INET6}, OSError),
        ({"local_address": ("127.0.0.1", 0), "remote_address": ("::1", 9)}, OSError),
        ({"local_address": ("127.0.0.1", 0), "receives_posted": 0}, ValueError),
        pytest.param({"local_address": ("203.0.113.1", 0)}, OSError, marks=wine_binds_to_anything),
        ({"remote_address": (None, 9)}, ValueError),
        *(({"local_address": ("127.0.0.1", port)}, ValueError) for port in (70000, -1, "9", None, 0.5)),
        ({"local_address": (None, 70000)}, ValueError),
        ({"remote_address": ("127.0.0.1", 70000)}, ValueError),
    ],
)
async def test_bad_arguments(arguments: dict[str, Any], kind: type[Exception]) -> None:
    """Each is refused by a checkpoint, and no socket is left behind."""
    with assert_checkpoints(), pytest.raises(kind):
        await trio_rio.open_datagram_channel(**arguments)


async def test_cancelled() -> None:
    """Cancelled while it opens, it leaves no socket behind."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await trio_rio.open_datagram_channel(("localhost", 0))
    assert scope.cancelled_caught


async def test_more_channels_than_memory() -> None:
    """Channels share the registered memory of the run: later ones have fewer slots, or do without RIO; all work."""
    channels = [await open_local() for _ in range(70)]
    try:
        if channels[0].statistics().provider is None:
            pytest.skip("RIO does not serve here")
        posted = [channel.statistics().receives_posted for channel in channels]
        assert posted[0] == 64
        assert posted[-1] < 64
        assert trio_rio.current_statistics().registered_bytes <= trio_rio.RioConfig().registered_bytes_max
        for channel in channels:
            await channel.send(b"x", channel.socket.getsockname())
            assert (await channel.receive())[0] == b"x"
    finally:
        for channel in channels:
            await channel.aclose()
    async with await open_local() as channel:
        assert channel.statistics().receives_posted == 64
