"""Opening a datagram channel: a socket is made, bound, and perhaps connected."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Any, TypeAlias

import trio

from .addresses import complaint_about
from .channel import DatagramChannel

# A host by number or name, or None for every address of this machine; and a port, 0 for a free one.
HostAndPort: TypeAlias = tuple[str | None, int] | tuple[str, int, int, int]


async def open_datagram_channel(
    local_address: HostAndPort | None = None,
    remote_address: HostAndPort | None = None,
    family: int = socket.AF_UNSPEC,
    *,
    receives_posted: int = 64,
    receive_size_bytes: int = 65535,
) -> DatagramChannel:
    """Open a UDP socket, and make a :class:`DatagramChannel` of it.

    Args:
      local_address: ``(host, port)`` to receive at. Port 0 is a free one; ``channel.socket.getsockname()`` has it.
        ``None``, and a host of ``None``, mean every address of this machine.
      remote_address: ``(host, port)`` of the one peer to talk to: the socket is connected, so that ``send`` needs no
        address, and only this peer's datagrams are received.
      family: ``socket.AF_INET`` or ``AF_INET6`` alone. By default the family of the first address that fits; with every
        address of this machine and no peer, both at once where the system can (a dual-stack IPv6 socket, on which IPv4
        peers look like ``::ffff:192.0.2.1``), else IPv4.
      receives_posted: see :class:`DatagramChannel`.
      receive_size_bytes: see :class:`DatagramChannel`.

    A checkpoint; names are looked up.

    Raises:
      OSError: a name or an address that this machine does not have (``socket.gaierror``), or one in use.
      TypeError, ValueError: an argument makes no sense; the message says which.
    """
    try:
        _check(local_address, remote_address, family)
    except (TypeError, ValueError):
        await trio.lowlevel.checkpoint()
        raise
    is_everywhere = local_address is None or local_address[0] is None
    port = 0 if local_address is None else local_address[1]
    sock: trio.socket.SocketType | None = None
    try:
        if is_everywhere and remote_address is None:
            sock = await _bound_everywhere(family, port)
        else:
            sock = await _bound(family, local_address, remote_address, port)
        return DatagramChannel(sock, receives_posted=receives_posted, receive_size_bytes=receive_size_bytes)
    except BaseException:
        if sock is not None:
            sock.close()
        raise


def _check(local_address: Any, remote_address: Any, family: Any) -> None:
    if family not in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
        raise ValueError(f"family must be AF_INET, AF_INET6 or AF_UNSPEC, not {family!r}")
    for name, address in (("local_address", local_address), ("remote_address", remote_address)):
        if address is not None and (type(address) is not tuple or len(address) not in (2, 4)):
            raise TypeError(f"{name} must be a tuple (host, port) or None, not {address!r}")
        complaint = complaint_about(address[1:]) if address is not None else None
        if complaint is not None:
            raise ValueError(f"{name}: {complaint}")
    if remote_address is not None and remote_address[0] is None:
        raise ValueError("remote_address needs a host: None means every address of this machine")


async def _bound_everywhere(family: int, port: int) -> trio.socket.SocketType:
    if family == socket.AF_UNSPEC and socket.has_dualstack_ipv6():
        return await _make(socket.AF_INET6, ("::", port), None, is_dual_stack=True)
    if family == socket.AF_INET6:
        return await _make(family, ("::", port), None)
    return await _make(socket.AF_INET, ("0.0.0.0", port), None)  # every address is what was asked for


async def _bound(family: int, local: Any, remote: Any, port: int) -> trio.socket.SocketType:
    """A socket of the first family in which both addresses exist."""
    locals_ = await _look_up(family, local) if local is not None and local[0] is not None else None
    remotes = await _look_up(family, remote) if remote is not None else None
    error = OSError("the local and the remote address have no address family in common")
    for candidate in dict.fromkeys(entry[0] for entry in remotes or locals_ or ()):
        everywhere = "::" if candidate == socket.AF_INET6 else "0.0.0.0"
        bind_to = _first(candidate, locals_) if locals_ is not None else (everywhere, port)
        connect_to = _first(candidate, remotes) if remotes is not None else None
        if bind_to is None or (remotes is not None and connect_to is None):
            continue
        try:
            return await _make(candidate, bind_to, connect_to)
        except OSError as failure:
            error = failure
    raise error


async def _look_up(family: int, address: Any) -> list[tuple[int, Any]]:
    found = await trio.socket.getaddrinfo(address[0], address[1], family, socket.SOCK_DGRAM)
    # What was given beyond the port (flowinfo, scope) is not getaddrinfo's business.
    return [(entry[0], (*entry[4][:2], *address[2:]) if len(address) > 2 else entry[4]) for entry in found]


def _first(family: int, found: list[tuple[int, Any]] | None) -> Any:
    return next((address for its_family, address in found or () if its_family == family), None)


async def _make(family: int, bind_to: Any, connect_to: Any, *, is_dual_stack: bool = False) -> trio.socket.SocketType:
    with contextlib.ExitStack() as stack:
        sock = trio.socket.socket(family, socket.SOCK_DGRAM)
        stack.callback(sock.close)
        if family == socket.AF_INET6:
            hosts = [ipaddress.IPv6Address(address[0]) for address in (bind_to, connect_to) if address is not None]
            is_mapped = any(host.ipv4_mapped is not None for host in hosts)  # as an IPv4 peer is
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not (is_dual_stack or is_mapped))
        await sock.bind(bind_to)
        if connect_to is not None:
            await sock.connect(connect_to)
        stack.pop_all()
    return sock
