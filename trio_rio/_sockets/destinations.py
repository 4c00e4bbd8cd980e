"""The destinations of a socket's datagrams: packed addresses, remembered by the addresses that the program gave."""

from __future__ import annotations

import ipaddress
from typing import Any

from .._trio import StockSocketType
from ..rio import pack_address

# Destinations in packed form that a socket remembers.
_DESTINATIONS_MAX = 1024


class Destinations(dict[Any, bytes]):
    """SOCKADDR_INET by address, for one socket."""

    def __init__(self) -> None:
        #: Of these, the addresses that the system takes as they are; others have another form when they are resolved.
        self.as_given: set[Any] = set()

    def known(self, address: object) -> bytes | None:
        """The packed form, if it is remembered."""
        try:
            return self.get(address)
        except TypeError:  # not hashable: let the inherited code find what is wrong with it
            return None

    def is_as_given(self, address: object) -> bool:
        """Whether it is remembered, and the system takes it as it is."""
        try:
            return address in self.as_given
        except TypeError:  # as above
            return False

    async def resolve(self, sock: StockSocketType, address: Any) -> bytes | None:
        """The packed form; ``None`` leaves it to the inherited code to say what is wrong."""
        if not isinstance(address, tuple) or len(address) < 2:
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
