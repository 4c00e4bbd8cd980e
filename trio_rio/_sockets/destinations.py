"""The destinations of a socket's datagrams: packed addresses, remembered by the addresses that the program gave.

Facts. Equal addresses may be of other types, and then stock Trio may refuse one and take the other: a port of 80.0 is
equal to 80. The system refuses a flowinfo of more than 20 bits, which has room in a packed address.

Decision. Only a plain address is looked up, and remembered: a tuple of a str and ints, none of a subclass. All others
go Trio's own way, each time."""

from __future__ import annotations

import ipaddress
from typing import Any

from .._trio import StockSocketType
from ..rio import pack_address
from ..rio.addresses import FLOWINFO_MAX

# Destinations in packed form that a socket remembers.
_DESTINATIONS_MAX = 1024

_PLAIN = {(str, int), (str, int, int), (str, int, int, int)}


def _is_plain(address: object) -> bool:
    """Whether only the same address is equal to it."""
    return type(address) is tuple and tuple(map(type, address)) in _PLAIN


class Destinations(dict[Any, bytes]):
    """SOCKADDR_INET by address, for one socket."""

    def __init__(self) -> None:
        #: Of these, the addresses that the system takes as they are; others have another form when they are resolved.
        self.as_given: set[Any] = set()

    def known(self, address: object) -> bytes | None:
        """The packed form, if it is remembered."""
        return self.get(address) if _is_plain(address) else None

    def is_as_given(self, address: object) -> bool:
        """Whether it is remembered, and the system takes it as it is."""
        return _is_plain(address) and address in self.as_given

    async def resolve(self, sock: StockSocketType, address: Any) -> bytes | None:
        """The packed form; ``None`` leaves it to the inherited code to say what is wrong."""
        if not _is_plain(address) or (len(address) > 2 and address[2] > FLOWINFO_MAX):
            return None
        resolved: Any = await sock._resolve_address_nocp(address, local=False)
        try:
            packed = pack_address(sock.family, resolved)
        except (OSError, TypeError, ValueError):
            return None
        try:
            ipaddress.ip_address(address[0])
        except ValueError:
            return packed  # a name may have another address next time: not remembered
        if len(self) >= _DESTINATIONS_MAX:
            self.clear()
            self.as_given.clear()
        self[address] = packed
        if resolved == address:
            self.as_given.add(address)
        return packed
