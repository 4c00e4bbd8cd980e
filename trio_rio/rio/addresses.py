"""SOCKADDR_INET: the form in which requests carry addresses.

Facts. A RIO address slice holds a SOCKADDR_INET, the larger of the IPv4 and the IPv6 socket address: family in the
machine's byte order, port and flow in the network's, scope id in the machine's again. The family's number differs
between platforms (AF_INET6 is 23 on Windows, 10 on Linux). [ws2ipdef.h; ip(7), ipv6(7)]

Decision. The bytes are the platform's own; only these two functions look at them.
"""

from __future__ import annotations

import socket
import struct
from typing import TypeAlias

#: Room that the address of a request takes, in bytes.
SOCKADDR_INET_SIZE_BYTES = 28

#: The largest flow that a socket takes; a SOCKADDR_INET has room for more.
FLOWINFO_MAX = 0xFFFFF

_SOCKADDR_IN = struct.Struct("!2xH4s20x")
_SOCKADDR_IN6 = struct.Struct("!2xHI16s4x")
_FAMILY = struct.Struct("=H")
_SCOPE = struct.Struct("=I")

#: A numeric address as the socket module has it: host and port, for IPv6 also flow and scope.
Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


def pack_address(family: int, address: Address) -> bytes:
    """A SOCKADDR_INET of 28 bytes for a numeric address, in the platform's own layout.

    Args:
      family: ``socket.AF_INET`` or ``AF_INET6``; its number differs between platforms.
      address: ``(host, port)`` or ``(host, port, flowinfo, scope_id)``, host numeric.

    Raises:
      OSError: the host is not a numeric address of that family.
      ValueError: the family is neither, or a number is out of range.
    """
    host, port = address[0], address[1]
    if not 0 <= port <= 0xFFFF:
        raise ValueError(f"port must be within 0 .. 65535, not {port}")
    packed = bytearray(SOCKADDR_INET_SIZE_BYTES)
    if family == socket.AF_INET:
        _SOCKADDR_IN.pack_into(packed, 0, port, socket.inet_pton(socket.AF_INET, host))
    elif family == socket.AF_INET6:
        flow = address[2] if len(address) > 2 else 0
        scope = address[3] if len(address) > 3 else 0
        for name, number in (("flowinfo", flow), ("scope id", scope)):
            if not 0 <= number <= 0xFFFFFFFF:
                raise ValueError(f"{name} must be within 0 .. {0xFFFFFFFF}, not {number}")
        _SOCKADDR_IN6.pack_into(packed, 0, port, flow, socket.inet_pton(socket.AF_INET6, host))
        _SCOPE.pack_into(packed, 24, scope)
    else:
        raise ValueError(f"RIO addresses are IPv4 or IPv6, not family {family}")
    _FAMILY.pack_into(packed, 0, family)
    return bytes(packed)


def unpack_address(packed: bytes | memoryview) -> Address:
    """The address in a SOCKADDR_INET, in the form that :meth:`socket.socket.recvfrom` gives it.

    Raises:
      ValueError: fewer than 28 bytes, or neither an IPv4 nor an IPv6 address.
    """
    if len(packed) < SOCKADDR_INET_SIZE_BYTES:
        raise ValueError(f"a SOCKADDR_INET has {SOCKADDR_INET_SIZE_BYTES} bytes, not {len(packed)}")
    (family,) = _FAMILY.unpack_from(packed, 0)
    if family == socket.AF_INET:
        port, raw = _SOCKADDR_IN.unpack_from(packed, 0)
        return socket.inet_ntop(socket.AF_INET, raw), port
    if family == socket.AF_INET6:
        port, flow, raw = _SOCKADDR_IN6.unpack_from(packed, 0)
        (scope,) = _SCOPE.unpack_from(packed, 24)
        return socket.inet_ntop(socket.AF_INET6, raw), port, flow, scope
    raise ValueError(f"not an IPv4 or IPv6 address: family {family}")
