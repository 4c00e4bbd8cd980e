"""Sockets where a provider serves only those that it has made, as on Windows; shown with the portable one, made so."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio

import trio_rio
from trio_rio import _trio
from trio_rio._sockets import socket as _socket
from trio_rio._sockets.stdlib_socket import SocketModule
from trio_rio.rio.portable.provider import PortableProvider

from ..platforms import IS_WINDOWS
from .harness import open_pair, stdlib_pair

pytestmark = [
    pytest.mark.providers("portable"),
    pytest.mark.skipif(IS_WINDOWS, reason="there portable leaves sockets to Trio, and winsock shows the real thing"),
]


@pytest.fixture(autouse=True)
def serves_own_sockets_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The portable provider serves its own sockets only, and Trio makes them by the engine, as on Windows."""
    monkeypatch.setattr(PortableProvider, "serves_own_sockets_only", True)
    monkeypatch.setattr(_trio.SOCKET_MODULE, "_stdlib_socket", SocketModule())


def sockets_open() -> int:
    return trio_rio.current_statistics().sockets_open


async def exchange(one: trio.socket.SocketType, other: Any) -> None:
    await one.send(b"x")
    assert await other.recv(1) == b"x"
    await other.send(b"y")
    assert await one.recv(1) == b"y"


async def test_what_trio_makes_in_a_run_is_served() -> None:
    """trio.socket.socket() in a run, and what such a listener accepts, go through RIO."""
    async with open_pair() as (client, server):
        await exchange(client, server)
        assert sockets_open() == 2


async def test_other_sockets_go_trios_own_way() -> None:
    """A socket made elsewhere, and what its listener accepts, are not served, one by one."""
    with socket.create_server(("127.0.0.1", 0)) as plain, trio.socket.from_stdlib_socket(plain.dup()) as listener:
        with trio.socket.socket() as client:
            await client.connect(listener.getsockname())
            accepted, _ = await listener.accept()
            with accepted:
                await exchange(client, accepted)
                assert sockets_open() == 1


async def test_a_duplicate_goes_trios_own_way() -> None:
    """dup() gives a socket that RIO does not serve."""
    async with open_pair() as (client, server):
        with client.dup() as other:
            await exchange(other, server)
            assert sockets_open() == 1


async def test_a_number_of_a_descriptor_makes_a_plain_socket() -> None:
    """socket(fileno=...) adopts what is there."""
    ours, theirs = stdlib_pair()
    with theirs, trio.socket.socket(fileno=ours.detach()) as client:
        await client.send(b"x")
        assert theirs.recv(1) == b"x"
        assert sockets_open() == 0


def test_in_a_run_of_stock_trio_sockets_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the stand-ins are bound, Trio's socket() makes a socket there as ever, from the arguments given."""
    monkeypatch.setattr(_trio.SOCKET_MODULE, "_SocketType", _socket.SocketOfRun)

    async def main() -> None:
        with trio.socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            assert (sock.family, sock.type) == (socket.AF_INET6, socket.SOCK_DGRAM)

    trio.run(main)


def test_the_stand_in_is_the_module_in_all_other_respects() -> None:
    """Every name of the module, and every method of the class, is the real one."""
    stand_in: Any = SocketModule()
    assert stand_in.AF_INET is socket.AF_INET
    assert stand_in.getaddrinfo is socket.getaddrinfo
    assert stand_in.socket.sendto is socket.socket.sendto
    with pytest.raises(AttributeError):
        _ = stand_in.no_such_name


def test_only_a_stdlib_socket_is_adopted() -> None:
    """A subclass of socket.socket is refused with TypeError, as by Trio."""

    class Other(socket.socket):
        pass

    with Other() as other, pytest.raises(TypeError, match="Other"):
        _socket.SocketOfRun(other)
