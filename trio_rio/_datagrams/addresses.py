"""Addresses of one datagram socket, translated between the form of programs and that of requests, and remembered.

Facts. Turning an address into the other form costs more than all the rest that Python does for a datagram. A server
hears from the same peers again and again. A host name may mean another address next time.

Decision. Two dictionaries, each emptied when it is full. Names are looked up each time and never remembered."""

from __future__ import annotations

import socket
from typing import Any

import trio

from ..rio import Address, pack_address, unpack_address
from ..rio.addresses import FLOWINFO_MAX

# Peers that a channel remembers: about 4 MB of addresses.
_PEERS_MAX = 16384

# What follows the host of an address, and the largest that a socket takes.
_NUMBERS_MAX = (("port", 0xFFFF), ("flowinfo", FLOWINFO_MAX), ("scope id", 0xFFFFFFFF))

# The family of a packed address that was not filled in.
NO_FAMILY = bytes(2)


class _Texts(dict[bytes, Address]):
    """Text by packed address; unpacks what it does not know. An address that was not filled in is the wildcard."""

    def __init__(self, family: int) -> None:
        super().__init__()
        self.unknown: Address = ("0.0.0.0", 0) if family == socket.AF_INET else ("::", 0, 0, 0)

    def __missing__(self, packed: bytes) -> Address:
        if packed[:2] == NO_FAMILY:
            return self.unknown
        if len(self) >= _PEERS_MAX:
            self.clear()
        address = self[packed] = unpack_address(packed)
        return address


class _Packed(dict[Any, bytes]):
    """Packed by numeric address; packs what it does not know. KeyError: the host is a name, or it is no address."""

    def __init__(self, family: int) -> None:
        super().__init__()
        self.family = family
        self.direct: set[Any] = set()

    def __missing__(self, address: Any) -> bytes:
        packed = pack_numeric(self.family, address)
        if packed is None:
            raise KeyError(address)
        if len(self) >= _PEERS_MAX:
            self.clear()
            self.direct.clear()
        self[address] = packed
        if self.family == socket.AF_INET or len(address) == 4:
            self.direct.add(address)
        return packed


def complaint_about(numbers: tuple[Any, ...]) -> str | None:
    """What is wrong with the numbers that follow the host of an address; ``None`` if nothing is."""
    for (name, high), number in zip(_NUMBERS_MAX, numbers, strict=False):
        if not isinstance(number, int) or not 0 <= number <= high:
            return f"the {name} of an address is an integer within 0 .. {high}, not {number!r}"
    return None


def pack_numeric(family: int, address: Any) -> bytes | None:
    """A numeric address in packed form; ``None`` for everything else. IPv4 on an IPv6 socket is mapped."""
    if not isinstance(address, tuple) or not 2 <= len(address) <= (2 if family == socket.AF_INET else 4):
        return None
    host, port = address[:2]
    if not isinstance(host, str) or complaint_about(address[1:]) is not None:
        return None
    try:
        return pack_address(family, address)
    except (OSError, ValueError):
        if family == socket.AF_INET6 and len(address) == 2:
            try:
                return pack_address(family, (f"::ffff:{socket.inet_ntoa(socket.inet_aton(host))}", port))
            except (OSError, ValueError):
                return None
        return None


class Peers:
    """The addresses of the peers of one socket, translated both ways."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.text_of = _Texts(family)
        self.packed_of = _Packed(family)
        #: Addresses that the socket takes as they are.
        self.direct = self.packed_of.direct

    async def resolve(self, address: Any) -> bytes:
        """The packed form of an address whose host may be a name. A checkpoint if it has to be looked up.

        Raises:
          OSError: the name has no address of the socket's family (socket.gaierror).
          TypeError, ValueError: that is no address; the message says what would be one.
        """
        try:
            return self.packed_of[address]
        except (KeyError, TypeError):  # TypeError: not hashable
            pass
        length_max = 2 if self.family == socket.AF_INET else 4
        if not isinstance(address, tuple) or not 2 <= len(address) <= length_max:
            form = "(host, port)" if length_max == 2 else "(host, port[, flowinfo[, scope_id]])"
            raise TypeError(f"an address of this channel is a tuple {form}, not {address!r}")
        host, port = address[:2]
        if not isinstance(host, (str, bytes)):
            raise TypeError(f"the host of an address is a str, not {host!r}")
        complaint = complaint_about(address[1:])
        if complaint is not None:
            raise ValueError(complaint)
        mapped = socket.AI_V4MAPPED if self.family == socket.AF_INET6 else 0
        found = await trio.socket.getaddrinfo(host, port, self.family, socket.SOCK_DGRAM, 0, mapped)
        return pack_address(self.family, (*found[0][4][:2], *address[2:], *found[0][4][len(address) :]))
