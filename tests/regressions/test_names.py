"""Destinations that have to be resolved: what went wrong once."""

from __future__ import annotations

import socket
from typing import Any, NoReturn

import pytest
import trio

from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, udp_socket

pytestmark = BOTH_MODES


class Resolver(trio.abc.HostnameResolver):
    """Every name is this machine; counts the look-ups."""

    look_ups = 0

    async def getaddrinfo(
        self, host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        self.look_ups += 1
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", int(port)))]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> NoReturn:
        raise NotImplementedError


async def test_a_name_is_looked_up_once_for_each_datagram(mode: str) -> None:
    """sendto() a name looks it up once, and again the next time."""
    resolver = Resolver()
    with await udp_socket() as sock, await udp_socket() as peer:
        trio.socket.set_custom_hostname_resolver(resolver)
        for count in (1, 2):
            await sock.sendto(b"x", ("name.example", peer.getsockname()[1]))
            assert resolver.look_ups == count
            with trio.fail_after(PATIENCE_SECONDS):
                assert await peer.recvfrom(10) == (b"x", sock.getsockname())


async def test_four_items_may_have_another_form(mode: str) -> None:
    """A socket of both families sends to an IPv4 address with flowinfo and scope id, the first time and later."""
    with trio.socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock, await udp_socket() as peer:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        await sock.bind(("::", 0))
        for number in range(5):
            await sock.sendto(b"%d" % number, (*peer.getsockname(), 0, 0))
            with trio.fail_after(PATIENCE_SECONDS):
                assert (await peer.recvfrom(10))[0] == b"%d" % number


@pytest.mark.parametrize("kind", [bytes, bytearray])
async def test_an_equal_address_of_another_type_is_another(mode: str, kind: type[bytes | bytearray]) -> None:
    """A port that is no int is refused as on stock Trio, also where an equal one was sent to."""
    with await udp_socket() as sock, await udp_socket() as peer:
        host, port = peer.getsockname()
        for _ in range(3):
            await sock.sendto(kind(b"good"), (host, port))
            with pytest.raises(OSError, match="Int or String expected"):
                await sock.sendto(kind(b"bad"), (host, float(port)))
            assert (await peer.recvfrom(10))[0] == b"good"


@pytest.mark.parametrize("kind", [bytes, bytearray])
async def test_a_flowinfo_that_no_socket_takes(mode: str, kind: type[bytes | bytearray]) -> None:
    """More than 20 bits are refused as on stock Trio, each time."""
    with trio.socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        await sock.bind(("::1", 0))
        for _ in range(3):
            with pytest.raises(OverflowError, match="flowinfo"):
                await sock.sendto(kind(b"bad"), ("::1", sock.getsockname()[1], 1 << 20, 0))
