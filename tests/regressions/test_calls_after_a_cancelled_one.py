"""A call in the very step in which another task's call was cancelled: what went wrong once."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import RioConfig, RioStream
from trio_rio._engine.current import engine_of_run
from trio_rio.testing import assert_ledger_balanced

from ..engine.harness import PATIENCE_SECONDS, WAYS_OPTIONS, stdlib_pair
from ..engine.test_guest import run_on_asyncio

MODES = pytest.mark.parametrize(
    "mode", ["request", pytest.param("detach", marks=pytest.mark.rio_config(cancellation="detach"))]
)
WAYS = pytest.mark.parametrize(
    "way",
    ["port", *(pytest.param(way, marks=pytest.mark.rio_config(**options)) for way, options in WAYS_OPTIONS.items())],
)
cancels = pytest.mark.providers("uring", "portable")


@asynccontextmanager
async def used_pair() -> AsyncIterator[tuple[trio.socket.SocketType, socket.socket]]:
    """A socket that has received and sent, and its peer."""
    ours, peer = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, peer:
        peer.sendall(b"-")
        assert await sock.recv(1) == b"-"
        assert await sock.send(b"-") == 1
        yield sock, peer


async def recv_into(sock: trio.socket.SocketType) -> bytes:
    memory = bytearray(10)
    return bytes(memory[: await sock.recv_into(memory)])


async def by_lease(sock: trio.socket.SocketType) -> bytes:
    async with RioStream(sock).receive_lease() as view:
        return bytes(view)


async def when_readable(sock: trio.socket.SocketType) -> bytes:
    await trio.lowlevel.wait_readable(sock)
    return await sock.recv(10)


RECEIVES: dict[str, Callable[[trio.socket.SocketType], Awaitable[bytes]]] = {
    "recv": lambda sock: sock.recv(10),
    "recv_into": recv_into,
    "SocketStream": lambda sock: trio.SocketStream(sock).receive_some(10),
    "RioStream": lambda sock: RioStream(sock).receive_some(10),
    "lease": by_lease,
    "wait_readable": when_readable,
}


async def received_after_a_cancelled(first: str, second: str) -> tuple[list[bytes], bytes]:
    """What a cancelled call got, and what the next one got of bytes that came in between."""
    taken: list[bytes] = []
    scope = trio.CancelScope()
    async with used_pair() as (sock, peer):

        async def receive() -> None:
            with scope:
                taken.append(await RECEIVES[first](sock))

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                scope.cancel()
                peer.sendall(b"hi")
                return taken, await RECEIVES[second](sock)


@MODES
@pytest.mark.parametrize("second", RECEIVES)
@pytest.mark.parametrize("first", ["recv", "RioStream", "lease"])
async def test_the_next_call_gets_what_comes_after_the_cancellation(mode: str, first: str, second: str) -> None:
    """It is not busy, and the cancelled one gets nothing of it."""
    assert await received_after_a_cancelled(first, second) == ([], b"hi")
    assert_ledger_balanced()


@WAYS
@MODES
async def test_the_next_call_gets_it_however_results_are_collected(mode: str, way: str) -> None:
    """With one queue and several; by packets, by an event, and polled."""
    assert await received_after_a_cancelled("recv", "recv") == ([], b"hi")


@MODES
async def test_calls_may_be_cancelled_one_after_the_other_in_one_step(mode: str) -> None:
    """Each makes way for the next."""
    taken: list[bytes] = []
    scopes: list[trio.CancelScope] = []
    async with used_pair() as (sock, peer):

        async def receive() -> None:
            with trio.CancelScope() as scope:
                scopes.append(scope)
                taken.append(await sock.recv(10))

        async def cancel_and_receive() -> None:
            scopes[-1].cancel()
            await receive()

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                for _ in range(5):
                    nursery.start_soon(cancel_and_receive)
                await wait_all_tasks_blocked()
                peer.sendall(b"hi")
    assert taken == [b"hi"]
    assert [scope.cancelled_caught for scope in scopes] == [True] * 5 + [False]


@MODES
async def test_nothing_is_lost_when_the_bytes_came_first(mode: str) -> None:
    """Then they may be the cancelled call's; what comes later is the next one's."""
    taken: list[bytes] = []
    scope = trio.CancelScope()
    async with used_pair() as (sock, peer):

        async def receive() -> None:
            with scope:
                taken.append(await sock.recv(10))

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                peer.sendall(b"one")
                scope.cancel()
                peer.sendall(b"two")
                peer.shutdown(socket.SHUT_WR)
                rest = [data async for data in _until_the_end(sock)]
    assert b"".join(taken + rest) == b"onetwo"


async def _until_the_end(sock: trio.socket.SocketType) -> AsyncIterator[bytes]:
    while data := await sock.recv(10):
        yield data


@pytest.fixture
def answer_later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Callable[[], None]]]:
    """Call it in a run: cancellations do not reach the kernel any more, but stand in the list that it returns."""

    def hold() -> list[Callable[[], None]]:
        held: list[Callable[[], None]] = []
        provider: Any = engine_of_run().provider
        cancel = provider.cancel
        monkeypatch.setattr(provider, "cancel", lambda *args: held.append(partial(cancel, *args)))
        return held

    return hold


@cancels
async def test_a_receive_follows_one_that_the_kernel_still_has(
    answer_later: Callable[[], list[Callable[[], None]]],
) -> None:
    """It is posted behind the cancelled one, and gets what that one has left."""
    taken: list[bytes] = []
    scope = trio.CancelScope()
    async with used_pair() as (sock, peer):
        held = answer_later()

        async def receive() -> None:
            with scope:
                taken.append(await sock.recv(10))

        async def receive_next() -> None:
            taken.append(await sock.recv(10))

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                scope.cancel()
                nursery.start_soon(receive_next)
                await wait_all_tasks_blocked()
                held.pop()()
                await wait_all_tasks_blocked()
                assert scope.cancelled_caught
                peer.sendall(b"hi")
    assert taken == [b"hi"]
    assert_ledger_balanced()


@cancels
async def test_closing_tells_a_cancelled_receive_that_the_kernel_still_has(
    answer_later: Callable[[], list[Callable[[], None]]],
) -> None:
    """And the one behind it: ClosedResourceError for both."""
    closed = 0
    async with used_pair() as (sock, _):
        held = answer_later()
        scope = trio.CancelScope()

        async def receive(scope: trio.CancelScope) -> None:
            nonlocal closed
            with scope, pytest.raises(trio.ClosedResourceError):
                await sock.recv(10)
            closed += 1

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive, scope)
                await wait_all_tasks_blocked()
                scope.cancel()
                nursery.start_soon(receive, trio.CancelScope())
                await wait_all_tasks_blocked()
                sock.close()
    assert (closed, len(held)) == (2, 1)
    assert_ledger_balanced()


def test_the_next_call_gets_it_in_another_loop_too(rio_provider: str) -> None:
    """As a guest, while the host's thread waits elsewhere."""
    config = RioConfig(provider=rio_provider)
    received = run_on_asyncio(received_after_a_cancelled, "recv", "recv", config=config)
    assert received == ([], b"hi")
