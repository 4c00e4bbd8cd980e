"""Stdlib sockets that a program has given to Trio and closes by its own name for them: as on stock Trio."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio import RioStream, _trio
from trio_rio._sockets.sole import is_sole

from ..conftest import RioRun
from ..engine.harness import BOTH_MODES, PATIENCE_SECONDS, WAYS_OPTIONS, stdlib_pair, tcp_pair
from ..platforms import IS_WINDOWS, needs_full_buffers, needs_recvmsg

pytestmark = [
    pytest.mark.first_names,
    pytest.mark.skipif(IS_WINDOWS, reason="RIO serves no such sockets there"),
]

RECEIVES: list[Any] = [
    lambda sock: sock.recv(10),
    lambda sock: sock.recv_into(bytearray(10)),
    lambda sock: sock.recvfrom(10),
    pytest.param(lambda sock: sock.recvmsg(10), marks=needs_recvmsg),
    lambda sock: RioStream(sock).receive_some(),
]

in_all_modes = [
    *BOTH_MODES,
    pytest.mark.parametrize(
        "way",
        [
            pytest.param(name, marks=pytest.mark.rio_config(**options))
            for name, options in {"plain": {}, **WAYS_OPTIONS}.items()
        ],
    ),
]


@contextlib.contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection, the first of them by its first name."""
    ours, theirs = stdlib_pair()
    theirs.settimeout(PATIENCE_SECONDS)
    with ours, theirs:
        yield ours, theirs


def mark(*marks: Any) -> Callable[[Any], Any]:
    """All these marks."""

    def apply(function: Any) -> Any:
        for one in marks:
            function = one(function)
        return function

    return apply


@mark(*in_all_modes)
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("receive", RECEIVES)
async def test_a_close_under_a_receive_closes(
    receive: Callable[[Any], Awaitable[object]], warm: bool, way: str, mode: str
) -> None:
    """The peer sees the end at once; the task goes on waiting, and can be cancelled."""
    with pair() as (ours, theirs):
        sock = trio.socket.from_stdlib_socket(ours)
        if warm:
            theirs.send(b"x")
            assert await sock.recv(10) == b"x"
            await sock.send(b"y")
            assert theirs.recv(10) == b"y"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, sock)
            await wait_all_tasks_blocked()
            ours.close()
            assert theirs.recv(1) == b""
            nursery.cancel_scope.cancel()


@needs_full_buffers
@mark(*in_all_modes)
async def test_a_close_under_a_send_closes(way: str, mode: str) -> None:
    """The peer sees the end after what had been sent; the task goes on waiting, and can be cancelled."""
    with pair() as (ours, theirs):
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, bytes(1 << 25))
            await wait_all_tasks_blocked(0.01)
            ours.close()
            while theirs.recv(1 << 20):
                pass
            nursery.cancel_scope.cancel()


async def is_served(sock: Any) -> bool:
    """Whether a request is in flight while a task receives on the socket; for the first time, or a cancelled one."""
    before = trio_rio.current_statistics().receives_in_flight
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sock.recv, 10)
        await wait_all_tasks_blocked()
        count = trio_rio.current_statistics().receives_in_flight
        nursery.cancel_scope.cancel()
    return count > before


@mark(*BOTH_MODES)
async def test_rio_serves_when_the_name_is_gone(mode: str) -> None:
    """A socket that nobody else can close is served by requests, from the next call on, though it was not before."""
    ours, theirs = stdlib_pair()
    with theirs, trio.socket.from_stdlib_socket(ours) as sock:
        if trio_rio.current_statistics().provider == "uring":
            assert not await is_served(sock)
        del ours
        assert await is_served(sock)


@mark(*BOTH_MODES)
async def test_rio_serves_what_trio_has_made(mode: str) -> None:
    """A socket that connects, and one that accept() gives, have no other name."""
    client, server = await tcp_pair()
    with client, server:
        for sock in (client, server):
            assert await is_served(sock)


def test_rio_serves_in_a_second_run(rio_run: RioRun) -> None:
    """What an earlier run has of a socket is no other name, from the second call on."""

    async def receive_at_first() -> tuple[Any, Any]:
        client, server = await tcp_pair()
        assert await is_served(client)
        return client, server

    async def receive_again(sock: Any) -> bool:
        return await is_served(sock) or await is_served(sock)

    client, server = rio_run(receive_at_first)
    with client, server:
        assert rio_run(receive_again, client)


class Holder:
    """As a Trio socket."""

    def __init__(self, sock: object) -> None:
        self._sock = sock


def test_other_names_are_found() -> None:
    """A socket is nobody else's until somebody has it, in whatever way, and again when he has let go."""
    holder = Holder(object())
    assert is_sole(holder)
    name = holder._sock
    assert not is_sole(holder)
    names = [name]
    del name
    assert not is_sole(holder)
    names.clear()
    assert is_sole(holder)


@pytest.mark.skipif(IS_WINDOWS, reason="this system has no socketpair() of UNIX sockets")
async def test_what_rio_never_serves_is_trios_own() -> None:
    """UNIX sockets have the methods that stock Trio has for all, and cost what they cost there."""
    for sock in trio.socket.socketpair():
        with sock:
            assert type(sock).recv is _trio.StockSocketType.recv
            copy = sock.dup()
            assert type(copy) is type(sock)
            copy.close()


@pytest.mark.skipif(IS_WINDOWS, reason="this system has no socketpair() of UNIX sockets")
async def test_every_socket_is_of_the_class_that_is_bound() -> None:
    """Who asks isinstance() of Trio's class while RIO serves finds every socket to be one, of whatever kind."""
    bound = _trio.SOCKET_MODULE._SocketType
    for sock in (*trio.socket.socketpair(), trio.socket.socket()):
        with sock:
            assert isinstance(sock, bound)
