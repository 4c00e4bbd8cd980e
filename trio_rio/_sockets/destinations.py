"""The destinations of a socket's datagrams: packed addresses, remembered by the addresses that the program gave."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

from trio.lowlevel import enable_ki_protection

from .._trio import StockSocketType
from ..rio import pack_address

# Destinations in packed form that a socket remembers.
_DESTINATIONS_MAX = 1024


class Destinations(dict[Any, bytes]):
    """SOCKADDR_INET by address, for one socket."""

    def __init__(self, family: int) -> None:
        self._length = 4 if family == socket.AF_INET6 else 2

    def known(self, address: object) -> bytes | None:
        """The packed form, if it is remembered."""
        try:
            return self.get(address)
        except TypeError:  # not hashable: let the inherited code find what is wrong with it
            return None

    @enable_ki_protection  # the engine in C calls it with nothing but the caller's frame below
    def has_whole(self, address: Any) -> bool:
        """Whether it is remembered and complete, so that the system takes the tuple as it is."""
        return self.known(address) is not None and len(address) == self._length

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
        self[address] = packed
        return packed
