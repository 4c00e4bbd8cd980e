"""Sends of gigabytes from the caller's own memory: what went wrong once.

The memory is never written, so that it costs nothing but addresses.
"""

from __future__ import annotations

import errno
import mmap
from typing import Any, NoReturn

import pytest
import trio

import trio_rio
from trio_rio._engine.current import current_engine
from trio_rio.rio import RioCallError, Status

from ..engine.harness import PATIENCE_SECONDS, receive_exactly, stdlib_pair, udp_socket
from ..platforms import IS_WINDOWS

GIB = 1 << 30

pytestmark = pytest.mark.skipif(IS_WINDOWS, reason="Windows promises memory for all that is mapped")

SIZES = pytest.mark.parametrize("size", [2 * GIB, 5 * GIB], ids=["2-GiB", "5-GiB"])


@pytest.fixture
def memory(size: int) -> memoryview:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    return memoryview(mmap.mmap(-1, size, flags=flags))


@SIZES
async def test_a_send_takes_a_part(memory: memoryview) -> None:
    """``send`` of 2 GiB or more takes what the kernel takes, as with stock Trio; cancelled, it says how much."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, trio.socket.from_stdlib_socket(theirs) as peer:
        sent = 0
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                nonlocal sent
                with trio.CancelScope() as scope:
                    nursery.start_soon(cancel_when_bytes_come, peer, scope)
                    sent = await sock.send(memory)

            nursery.start_soon(send)
        assert 0 < sent < len(memory)


async def cancel_when_bytes_come(peer: Any, scope: trio.CancelScope) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        assert await receive_exactly(peer, 100_000) == bytes(100_000)
    scope.cancel()


@SIZES
async def test_send_all_goes_on(memory: memoryview) -> None:
    """``send_all`` of 2 GiB or more sends until it is cancelled."""
    ours, theirs = stdlib_pair()
    async with trio_rio.RioStream(trio.socket.from_stdlib_socket(ours)) as stream:
        with trio.socket.from_stdlib_socket(theirs) as peer:
            async with trio.open_nursery() as nursery:
                with trio.CancelScope() as scope:
                    nursery.start_soon(cancel_when_bytes_come, peer, scope)
                    await stream.send_all(memory)
            assert scope.cancelled_caught


@SIZES
async def test_a_datagram_of_gigabytes(memory: memoryview) -> None:
    """A datagram that long fails with EMSGSIZE, and the socket serves on."""
    with await udp_socket() as sender, await udp_socket() as receiver:
        await sender.connect(receiver.getsockname())
        with pytest.raises(OSError) as caught:
            await sender.send(memory)
        assert caught.value.errno == errno.EMSGSIZE
        await sender.send(b"short")
        assert await receiver.recv(10) == b"short"


async def test_a_refused_registration_loses_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the memory of a send cannot be registered, the request is free for the next."""
    ours, theirs = stdlib_pair()
    with theirs, trio.socket.from_stdlib_socket(ours) as sock:
        await sock.send(b"x")
        engine = current_engine()
        assert engine is not None

        def refuse(*_: object) -> NoReturn:
            raise RioCallError("RIORegisterBuffer", Status.ENOBUFS, "no room for one more")

        with monkeypatch.context() as patch:
            patch.setattr(type(engine.provider), "register_for_sending", refuse)
            assert await sock.send(bytes(100_000))  # by a plain call
        assert not engine.collectors.may_have_results()
        assert await sock.send(bytes(100_000))
