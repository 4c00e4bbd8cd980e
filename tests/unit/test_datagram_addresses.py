"""Addresses of a datagram channel: both forms agree, names are never remembered, and memory is bounded."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
import trio
from hypothesis import given, strategies

from trio_rio._datagrams import addresses as _datagram_addresses
from trio_rio._datagrams.addresses import Peers, pack_numeric

PORTS = strategies.integers(0, 0xFFFF)
FOUR = strategies.tuples(strategies.ip_addresses(v=4).map(str), PORTS)
SIX = strategies.tuples(
    strategies.ip_addresses(v=6).map(str), PORTS, strategies.integers(0, 0xFFFFF), strategies.integers(0, 0xFFFF)
)


@given(FOUR)
def test_ipv4_there_and_back(address: tuple[str, int]) -> None:
    """Packed and unpacked again, an IPv4 address is the same; the socket may have it as it is."""
    peers = Peers(socket.AF_INET)
    assert peers.text_of[peers.packed_of[address]] == address
    assert address in peers.direct


@given(SIX)
def test_ipv6_there_and_back(address: tuple[str, int, int, int]) -> None:
    """The same for IPv6, with flow and scope; the text of the host is the canonical one."""
    peers = Peers(socket.AF_INET6)
    text = peers.text_of[peers.packed_of[address]]
    assert text[1:] == address[1:]
    assert IPv6Address(text[0]) == IPv6Address(address[0])
    assert address in peers.direct


@given(FOUR)
def test_ipv4_on_a_dual_stack_socket_is_mapped(address: tuple[str, int]) -> None:
    """An IPv4 address becomes ``::ffff:a.b.c.d``, and the socket does not get it as it is."""
    peers = Peers(socket.AF_INET6)
    text = peers.text_of[peers.packed_of[address]]
    assert IPv6Address(text[0]).ipv4_mapped == IPv4Address(address[0])
    assert text[1:] == (address[1], 0, 0)
    assert address not in peers.direct


@given(
    strategies.one_of(strategies.text(), strategies.none(), strategies.tuples(strategies.text()), FOUR.map(list), SIX)
)
def test_what_is_no_numeric_address_is_not_packed(address: object) -> None:
    """Names, other families, and what is no address at all."""
    assert pack_numeric(socket.AF_INET, address) is None


def test_a_full_book_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never has more peers than its limit, and goes on."""
    monkeypatch.setattr(_datagram_addresses, "_PEERS_MAX", 10)
    peers = Peers(socket.AF_INET)
    for port in range(35):
        packed = peers.packed_of["127.0.0.1", port]
        assert peers.text_of[packed] == ("127.0.0.1", port)
        assert max(len(peers.packed_of), len(peers.text_of), len(peers.direct)) <= 10


def test_names_are_not_remembered() -> None:
    """A name is looked up each time, a number never."""
    peers = Peers(socket.AF_INET)

    async def main() -> None:
        for _ in range(2):
            assert await peers.resolve(("localhost", 9)) == peers.packed_of["127.0.0.1", 9]
        assert list(peers.packed_of) == [("127.0.0.1", 9)]

    trio.run(main)
