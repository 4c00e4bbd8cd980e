"""Cancelling receives and sends at random takes nothing, doubles nothing, and reorders nothing.

The sizes of the two storms reach 200 connections of 4 MiB each way, and 100,000 datagrams, at TRIO_RIO_TEST_SCALE=16.
Each prints how many calls were cancelled and how many of those had a result all the same; ``pytest -s`` shows it.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio.testing import assert_ledger_balanced

from ..platforms import needs_recvmsg
from .harness import BOTH_MODES, numbered, open_pair, scaled, stdlib_pair, tcp_pair, udp_socket

pytestmark = BOTH_MODES

CONNECTIONS = scaled(20, 200)
STREAM_BYTES = scaled(256 << 10, 4 << 20)
DATAGRAMS = scaled(6250, 100_000)
DATAGRAMS_AHEAD_MAX = 64
SEED = 2026


@attrs.define
class Storm:
    """Cancels the calls of many tasks at random ticks. Each task keeps the scope of its present call in a slot."""

    random: random.Random = attrs.field(factory=lambda: random.Random(SEED), repr=False)
    scopes: list[trio.CancelScope | None] = attrs.field(factory=list, repr=False)
    calls: int = 0
    cancelled: int = 0  # ended with Cancelled
    survived: int = 0  # were cancelled, and had a result

    def slot(self) -> int:
        self.scopes.append(None)
        return len(self.scopes) - 1

    def begin(self, slot: int) -> trio.CancelScope:
        scope = self.scopes[slot] = trio.CancelScope()
        self.calls += 1
        return scope

    def end(self, slot: int, scope: trio.CancelScope) -> None:
        self.scopes[slot] = None
        self.cancelled += scope.cancelled_caught
        self.survived += scope.cancel_called and not scope.cancelled_caught

    async def rest(self) -> None:
        """Let other tasks wait for this one, often for some ticks."""
        for _ in range(self.random.choice((0, 0, 1, 3, 10, 30))):
            await trio.lowlevel.checkpoint()

    async def rage(self) -> None:
        """Until cancelled: some ticks of rest, or a short sleep, then the end of some calls."""
        while True:
            if self.random.random() < 0.3:
                await trio.sleep(self.random.random() * 0.002)
            else:
                for _ in range(self.random.randrange(1, 6)):
                    await trio.lowlevel.checkpoint()
            for scope in self.random.choices(self.scopes, k=max(1, len(self.scopes) // 4)):
                if scope is not None:
                    scope.cancel()


@attrs.define
class Stream:
    """One direction of a connection: numbered bytes that are sent, and checked as they come."""

    storm: Storm
    number: int
    sender: trio.socket.SocketType
    receiver: trio.socket.SocketType

    async def send(self) -> None:
        sent, slot = 0, self.storm.slot()
        while sent < STREAM_BYTES:
            await self.storm.rest()
            size = self.storm.random.choice((1, 100, 1000, 3000, 3000, 20_000) * 8 + (200_000,))
            data = numbered(self.number, sent, min(STREAM_BYTES, sent + size))
            with self.storm.begin(slot) as scope:
                sent += await self.sender.send(data)
            self.storm.end(slot, scope)
        self.sender.shutdown(socket.SHUT_WR)

    async def receive(self) -> None:
        received, slot = 0, self.storm.slot()
        while True:
            if self.storm.random.random() < 0.1:
                await self.storm.rest()
            data = None
            with self.storm.begin(slot) as scope:
                data = await self.receiver.recv(self.storm.random.choice((1, 1000, 4096, 65536, 1 << 20)))
            self.storm.end(slot, scope)
            if data is None:
                continue
            if not data:
                break
            assert data == numbered(self.number, received, received + len(data)), f"wrong at {received}"
            received += len(data)
        assert received == STREAM_BYTES


async def test_a_storm_on_streams() -> None:
    """Streams both ways, with receives and sends cancelled at random: each byte comes once, and in its place."""
    storm = Storm()
    async with trio.open_nursery() as storm_nursery:
        pairs = [await tcp_pair() for _ in range(CONNECTIONS)]
        async with trio.open_nursery() as nursery:
            for number, (left, right) in enumerate(pairs):
                for stream in (Stream(storm, 2 * number, left, right), Stream(storm, 2 * number + 1, right, left)):
                    nursery.start_soon(stream.send)
                    nursery.start_soon(stream.receive)
            storm_nursery.start_soon(storm.rage)
        assert_ledger_balanced()
        for pair in pairs:
            pair[0].close()
            pair[1].close()
        storm_nursery.cancel_scope.cancel()
    print(f"\n{CONNECTIONS} connections x 2 x {STREAM_BYTES} bytes: {storm}")
    assert storm.cancelled > CONNECTIONS


async def test_a_storm_on_datagrams() -> None:
    """Datagrams with receives and sends cancelled at random: each that was sent comes once, whole, and in order."""
    storm = Storm()
    expected: list[int] = []  # sizes of what was sent and has not come
    has_room = trio.Event()
    received = 0

    async def send() -> None:
        nonlocal has_room
        slot = storm.slot()
        number = 0
        while number < DATAGRAMS:
            if len(expected) >= DATAGRAMS_AHEAD_MAX:
                has_room = trio.Event()
                await has_room.wait()
            await storm.rest()
            size = storm.random.choice((8, 100, 1400, 9000))
            done = None
            with storm.begin(slot) as scope:
                done = await sender.sendto(numbered(number, 0, size), receiver.getsockname())
            storm.end(slot, scope)
            if done is not None:
                assert done == size
                expected.append(size)
                number += 1

    async def receive() -> None:
        nonlocal received
        slot = storm.slot()
        while received < DATAGRAMS:
            datagram = None
            with storm.begin(slot) as scope:
                datagram = await receiver.recvfrom(10_000)
            storm.end(slot, scope)
            if datagram is not None:
                data, address = datagram
                # The send may have completed in the kernel and not yet returned in the task that sends.
                assert data == numbered(received, 0, len(data)), f"datagram {received} is wrong"
                assert address == sender.getsockname()
                while not expected:
                    await trio.lowlevel.checkpoint()
                assert len(data) == expected.pop(0)
                received += 1
                has_room.set()

    with await udp_socket() as sender, await udp_socket() as receiver:
        async with trio.open_nursery() as storm_nursery:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                nursery.start_soon(receive)
                storm_nursery.start_soon(storm.rage)
            with trio.move_on_after(0.05):
                pytest.fail(f"one datagram too many: {await receiver.recv(10_000)!r}")
            storm_nursery.cancel_scope.cancel()
    print(f"\n{DATAGRAMS} datagrams: {storm}")
    assert storm.cancelled > DATAGRAMS // 100
    assert received == DATAGRAMS


async def test_rc_59() -> None:
    """RC-59: cancelling a task that waits leaves the data to the next reader, none lost and none doubled."""
    async with open_pair() as (client, server):
        for round_ in range(scaled(50, 1000)):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client.recv, 100)
                    await wait_all_tasks_blocked()
                    scope.cancel()
            data = numbered(round_, 0, 24)
            await server.send(data[:12])
            await server.send(data[12:])
            received = b""
            while len(received) < len(data):
                received += await client.recv(5)
            assert received == data


async def test_data_that_comes_with_the_cancellation() -> None:
    """Data that comes in the very tick of the cancellation is delivered by this receive or by the next one."""
    async with open_pair() as (client, server):
        for round_ in range(scaled(200, 10_000)):
            received: list[bytes] = []

            async def receive(into: list[bytes] = received) -> None:
                into.append(await client.recv(100))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(receive)
                await wait_all_tasks_blocked()
                await server.send(numbered(round_, 0, 16))
                nursery.cancel_scope.cancel()
            if not received:
                received.append(await client.recv(100))
            assert received == [numbered(round_, 0, 16)]


@pytest.mark.parametrize(
    "call",
    [
        lambda sock: sock.recv(10),
        lambda sock: sock.recv_into(bytearray(10)),
        lambda sock: sock.recvfrom(10),
        lambda sock: sock.recvfrom_into(bytearray(10)),
        pytest.param(lambda sock: sock.recvmsg(10), marks=needs_recvmsg),
        pytest.param(lambda sock: sock.recvmsg_into([bytearray(10)]), marks=needs_recvmsg),
        lambda sock: sock.send(b"never"),
        pytest.param(lambda sock: sock.sendmsg([b"never"]), marks=needs_recvmsg),
    ],
    ids=["recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "send", "sendmsg"],
)
async def test_a_call_in_a_cancelled_scope_touches_nothing(call: Callable[..., object]) -> None:
    """A call made in a cancelled scope raises before it touches the socket."""
    async with open_pair() as (client, server):
        await server.send(b"data")
        with trio.CancelScope() as scope:
            scope.cancel()
            await call(client)  # type: ignore[misc]
        assert scope.cancelled_caught
        assert await client.recv(10) == b"data"
        await client.send(b"first")
        assert await server.recv(10) == b"first"


async def test_a_cancelled_send_sends_nothing_later() -> None:
    """A send that raised Cancelled because the peer did not read has sent nothing, and sends nothing later."""
    ours, theirs = stdlib_pair()
    theirs.setblocking(False)
    with trio.socket.from_stdlib_socket(ours) as client, trio.socket.from_stdlib_socket(theirs) as server:
        sent = 0
        with trio.CancelScope() as scope:
            while True:
                with trio.move_on_after(0.1) as patience:
                    sent += await client.send(numbered(1, sent, sent + 65536))
                if patience.cancelled_caught:
                    break
            scope.cancel()
        client.shutdown(socket.SHUT_WR)
        received = bytearray()
        while data := await server.recv(1 << 20):
            received += data
        assert received == numbered(1, 0, sent)


async def test_a_cancelled_accept_loses_no_connection() -> None:
    """A connection that comes as accept is cancelled is given to the next accept."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        for _ in range(scaled(50, 10_000)):
            accepted: list[trio.socket.SocketType] = []

            async def accept(into: list[trio.socket.SocketType] = accepted) -> None:
                into.append((await listener.accept())[0])

            with trio.socket.socket() as client:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(accept)
                    await wait_all_tasks_blocked()
                    await client.connect(listener.getsockname())
                    nursery.cancel_scope.cancel()
                if not accepted:
                    with trio.fail_after(5):
                        await accept()
                with accepted[0] as server:
                    await server.send(b"x")
                    assert await client.recv(1) == b"x"
