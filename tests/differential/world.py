"""The sockets of one program: Trio's, by which it is judged, and plain ones, which are the peers."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Any

import attrs
import trio

from .lines import Lines
from .program import Step

RESET_AT_CLOSE = struct.pack("ii", 1, 0)
HOST = "127.0.0.1"

# Buffers of a narrow link, in bytes; the system makes something of its own of them.
NARROW_BYTES = 4096


MakeStream = Callable[[Any], Any]


@attrs.define(eq=False)
class World:
    """What the names of a program stand for.

    ``s0`` is a Trio socket (or a stream), ``p0`` its peer, ``l0`` a listener. ``b0`` is the other end of ``s0`` where
    both are Trio's.
    """

    make_stream: MakeStream  # of a link "own stream"
    things: dict[str, Any] = attrs.field(factory=dict)
    everything: list[Any] = attrs.field(factory=list)  # to be closed
    names: dict[Any, str] = attrs.field(factory=dict)  # of addresses
    lines: Lines = attrs.field(factory=Lines)
    narrow: set[str] = attrs.field(factory=set)  # the peers of narrow links

    def add(self, name: str, thing: Any) -> Any:
        """Give a thing a name, and close it at the end."""
        self.things[name] = thing
        self.everything.append(thing)
        return thing

    def make(self, step: Step, thing: Any) -> None:
        """Give what a step made its name: another one for the socket that the step is about."""
        self.add(step.makes, thing)
        self.lines.roots[step.makes] = self.lines.roots.get(step.on, step.on)

    def hear(self, name: str, data: bytes) -> bytes:
        """Note what a socket received."""
        line = self.lines.to(name)
        if line is not None:
            line.heard += data
        return data

    def name_of(self, address: Any) -> Any:
        """An address, by what has it."""
        return self.names.get(address, address and "?")

    def note_address(self, sock: socket.socket, name: str) -> None:
        """Know a socket's own address by a name."""
        self.names[sock.getsockname()] = name

    async def open(self, links: tuple[str, ...]) -> None:
        """Make the sockets of a program's links."""
        for number, link in enumerate(links):
            kind = link.removeprefix("narrow ")
            await LINKS[kind](self, str(number))
            if kind != link:
                self._narrow(str(number))

    def _narrow(self, number: str) -> None:
        thing = self.things[f"s{number}"]
        trio_end = getattr(thing, "socket", thing)
        for end in (trio_end, self.things[f"p{number}"]):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW_BYTES)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW_BYTES)
        self.narrow.add(f"p{number}")

    def close(self) -> None:
        """Close all of it."""
        for thing in reversed(self.everything):
            getattr(thing, "socket", thing).close()


def pair(family: str) -> tuple[socket.socket, socket.socket]:
    """Two connected plain sockets."""
    if family == "unix":
        return socket.socketpair()
    if family == "datagrams":
        first, second = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        first.bind((HOST, 0))
        second.bind((HOST, 0))
        first.connect(second.getsockname())
        second.connect(first.getsockname())
        return first, second
    with socket.create_server((HOST, 0)) as listener:
        first = socket.create_connection(listener.getsockname())
        second, _ = listener.accept()
    return first, second


def opens(family: str, *, wrap: Callable[[World, Any], Any] | None = None) -> Callable[[World, str], Any]:
    """A link of a Trio socket, or what is made of it, to a plain peer."""

    async def open_link(world: World, number: str) -> None:
        mine, peer = pair(family)
        peer.setblocking(False)
        sock: Any = trio.socket.from_stdlib_socket(mine)
        world.add(f"s{number}", wrap(world, sock) if wrap else sock)
        world.add(f"p{number}", peer)
        if family != "datagrams":
            world.lines.connect(f"s{number}", f"p{number}")
        if family != "unix":
            world.note_address(mine, f"s{number}")
            world.note_address(peer, f"p{number}")

    return open_link


async def _open_both(world: World, number: str) -> None:
    for letter, sock in zip("sb", pair("tcp"), strict=True):
        world.add(f"{letter}{number}", trio.socket.from_stdlib_socket(sock))
        world.note_address(sock, f"{letter}{number}")
    world.lines.connect(f"s{number}", f"b{number}")


async def _open_listener(world: World, number: str) -> None:
    listener = world.add(f"l{number}", trio.socket.socket())
    await listener.bind((HOST, 0))
    listener.listen()


async def _open_unconnected(world: World, number: str) -> None:
    listener = world.add(f"l{number}", socket.create_server((HOST, 0)))
    listener.setblocking(False)
    world.add(f"s{number}", trio.socket.socket())


async def _open_unconnected_datagrams(world: World, number: str) -> None:
    mine: Any = world.add(f"s{number}", trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    await mine.bind((HOST, 0))
    peer = world.add(f"p{number}", socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    peer.bind((HOST, 0))
    peer.connect(mine.getsockname())
    peer.setblocking(False)
    world.names[mine.getsockname()] = f"s{number}"
    world.note_address(peer, f"p{number}")


LINKS: dict[str, Callable[[World, str], Any]] = {
    "tcp": opens("tcp"),
    "unix": opens("unix"),
    "datagrams": opens("datagrams"),
    "stream": opens("tcp", wrap=lambda _, sock: trio.SocketStream(sock)),
    "own stream": opens("tcp", wrap=lambda world, sock: world.make_stream(sock)),
    "both": _open_both,
    "listener": _open_listener,
    "unconnected": _open_unconnected,
    "unconnected datagrams": _open_unconnected_datagrams,
}


def reset(sock: socket.socket) -> None:
    """Close a plain socket so that its peer gets a reset."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    sock.close()
