"""Nothing grows with the number of messages, connections, cancelled calls or errors.

What is counted, by four independent means: the bytes that tracemalloc knows of, the blocks of the allocator, the
objects of the collector by type, and the references to the objects that a run uses for all its calls. The counts of two
stretches of the same traffic are compared, so what is made once does not count.

TRIO_RIO_TEST_SCALE=16 reaches a million messages for each kind of stream, and tens of thousands of all else.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import socket
import struct
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
import trio_rio._engine.requests
from trio_rio import RioStream
from trio_rio._engine.fields import native
from trio_rio._trio import SHIELDED_CHECKPOINT

from .harness import SCALE, fill, scaled, stdlib_pair

Traffic: TypeAlias = Callable[[int], Awaitable[None]]
Stream: TypeAlias = trio.SocketStream  # which a RioStream counts as

pytestmark = [
    pytest.mark.providers("uring"),
    pytest.mark.parametrize("kind", [RioStream, trio.SocketStream], ids=["RioStream", "SocketStream"]),
]

# What may be had by chance: a list that has grown, a cache that has filled.
SLACK_BYTES = 8192
SLACK_BLOCKS = 50
SLACK_OBJECTS = 10
SLACK_REFERENCES = 10

EVENTS_TO_WARM_UP = 100


def events(ordinary: int, full: int) -> int:
    """How many there are in an ordinary run, and at full scale."""
    return ordinary if SCALE <= 1 else scaled(full // 16, full)


# ----------------------------------------------------------------------------------------------------------
# Counting
# ----------------------------------------------------------------------------------------------------------


def shared_objects(streams: Sequence[Stream], messages: Sequence[object]) -> dict[str, object]:
    """What a run uses for all its calls, by name: a reference too many in each call is seen here."""
    requests, channel = trio_rio._engine.requests, channel_of(streams[0])
    pool, runner = channel.pool, trio.lowlevel.current_task()._runner
    shared: dict[str, object] = {
        "the channel": channel, "its sends": channel.sends, "its waits": channel.waits, "its fileno": channel.fileno,
        "the pool": pool, "the pool's list": pool.small, "the runner": runner, "the task": trio.lowlevel.current_task(),
        "the message of a checkpoint": SHIELDED_CHECKPOINT, "raise_aborted": requests.raise_aborted,
        "RioStream": RioStream, "trio.SocketStream": trio.SocketStream,
        **{f"state {state.name}": state for state in requests.State},
    }  # fmt: skip
    for number, request in enumerate(pool.requests[:8]):
        shared |= {f"request {number}": request, f"its message ({number})": request.message}
        shared |= {f"its slice ({number})": request.slice} if request.slice is not None else {}
    for number, stream in enumerate(streams):
        shared |= {f"stream {number}": stream, f"its socket ({number})": stream.socket}
    shared |= {f"message {number}": message for number, message in enumerate(messages)}
    if native is not None:
        shared |= {name: getattr(native, name) for name in ("Call", "Turn", "RequestFields", "ChannelFields")}
        shared["the turn"] = channel.turn
    if sys.version_info < (3, 12):  # later they are immortal, and extensions for 3.11 count on
        shared |= {"None": None, "True": True, "no bytes": b"", "1": 1}
    return shared


@attrs.frozen
class Counts:
    """What there is at one moment."""

    bytes: int
    blocks: int
    objects: collections.Counter[type]
    references: dict[str, int]

    @classmethod
    def now(cls, shared: dict[str, object]) -> Counts:
        """Count, when what was dropped in circles is gone."""
        gc.collect()
        references = {name: sys.getrefcount(one) for name, one in shared.items()}
        traced, blocks = tracemalloc.get_traced_memory()[0], sys.getallocatedblocks()
        return cls(traced, blocks, collections.Counter(map(type, gc.get_objects())), references)

    def grown_since(self, before: Counts) -> list[str]:
        """What there is more of than chance explains. References may not become fewer, either."""
        grown = []
        if self.bytes - before.bytes > SLACK_BYTES:
            grown.append(f"{self.bytes - before.bytes} bytes")
        if self.blocks - before.blocks > SLACK_BLOCKS:
            grown.append(f"{self.blocks - before.blocks} blocks")
        grown += [f"{n} of {kind}" for kind, n in (self.objects - before.objects).items() if n > SLACK_OBJECTS]
        differences = {name: count - before.references[name] for name, count in self.references.items()}
        return grown + [f"{n:+} references to {name}" for name, n in differences.items() if abs(n) > SLACK_REFERENCES]


async def check_nothing_grows(traffic: Traffic, count: int, *streams: Stream, messages: Sequence[object] = ()) -> None:
    """The same traffic again, ``count`` times, leaves nothing that the first has not left.

    ``streams`` and ``messages`` are what it uses, so that references to them are counted; one stream at least.
    """
    await traffic(EVENTS_TO_WARM_UP)
    shared = shared_objects(streams, messages)
    tracemalloc.start()
    try:
        await traffic(EVENTS_TO_WARM_UP)  # what tracemalloc keeps of what is made anew, beside what it keeps itself
        before = Counts.now(shared)
        before = Counts.now(shared)  # the first has made objects of its own
        await traffic(count)
        after = Counts.now(shared)
    finally:
        tracemalloc.stop()
    assert not after.grown_since(before), f"after {count}: {after.grown_since(before)}"
    print(f"after {count}: {after.bytes - before.bytes:+} bytes, {after.blocks - before.blocks:+} blocks")


@pytest.mark.parametrize(
    ("leak", "seen"),
    [
        (lambda number: bytes(number), "bytes"),
        (lambda _: object(), "blocks"),
        (lambda _: [], "of <class 'list'>"),
        (lambda _: trio_rio._engine.requests.WAITED, "references to state WAITED"),
    ],
    ids=["bytes", "blocks", "objects", "references"],
)
async def test_a_leak_would_be_seen(leak: Callable[[int], object], seen: str, kind: type[Stream]) -> None:
    """Whatever each message leaves, a count tells."""
    left: list[object] = []

    async def leave(count: int) -> None:
        left.extend(leak(number) for number in range(count))
        await trio.lowlevel.checkpoint()

    async with stream_and_peer(kind) as (stream, _):
        with pytest.raises(AssertionError, match=seen):
            await check_nothing_grows(leave, 200, stream)


# ----------------------------------------------------------------------------------------------------------
# Streams
# ----------------------------------------------------------------------------------------------------------


def stream_on(kind: type[Stream], sock: socket.socket) -> Stream:
    """A stream of this kind on a blocking socket of the standard library."""
    return kind(trio.socket.from_stdlib_socket(sock))


def channel_of(stream: Stream) -> Any:
    """The engine's channel of a stream that has one."""
    channel = trio_rio._engine.current.engine_of_run().channel_of(stream.socket.fileno())
    assert channel is not None
    return channel


@contextlib.asynccontextmanager
async def two_streams(kind: type[Stream]) -> AsyncIterator[tuple[Stream, Stream]]:
    """The ends of a connection, both of which RIO serves."""
    first, second = (stream_on(kind, sock) for sock in stdlib_pair())
    async with first, second:
        await first.send_all(b"x")
        await second.receive_some()
        await second.send_all(b"x")
        await first.receive_some()
        yield first, second


@contextlib.asynccontextmanager
async def stream_and_peer(kind: type[Stream]) -> AsyncIterator[tuple[Stream, socket.socket]]:
    """A stream that RIO serves, and its peer, a blocking socket."""
    ours, theirs = stdlib_pair()
    async with stream_on(kind, ours) as stream:
        with theirs:
            theirs.sendall(b"x")
            await stream.receive_some()
            yield stream, theirs


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# ----------------------------------------------------------------------------------------------------------
# Traffic
# ----------------------------------------------------------------------------------------------------------


async def test_messages(kind: type[Stream]) -> None:
    """Messages there and back, of each size class, alone and beside others."""
    data = bytes(200)

    async with two_streams(kind) as (first, second):

        async def exchange(count: int) -> None:
            """Half the messages by a task that is alone, whose sends go at once; half between two tasks."""
            for number in range(count // 4):
                await first.send_all(data)
                await second.receive_some(None if number % 2 else 200)
                await second.send_all(data[: number % 200 + 1])
                await first.receive_some(300)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(half, first, count // 4)
                await half(second, count // 4)

        async def half(stream: Stream, count: int) -> None:
            for _ in range(count):
                await stream.send_all(data)
                await stream.receive_some(200)

        await check_nothing_grows(exchange, events(10_000, 1_000_000), first, second, messages=[data])


async def test_other_sizes_and_memory(kind: type[Stream]) -> None:
    """Messages that the engine in C leaves to Python: bytearrays, memoryviews, large ones, odd arguments."""
    sent: list[bytes | bytearray | memoryview] = [bytearray(9), memoryview(b"y" * 9), bytes(30_000), bytes(9)]

    async with two_streams(kind) as (first, second):

        async def exchange(count: int) -> None:
            for number in range(count):
                data = sent[number % 4]
                await first.send_all(data)
                left = len(data)
                while left:
                    left -= len(await second.receive_some(left))
                with pytest.raises((TypeError, ValueError)):
                    await second.receive_some(0)
                with pytest.raises(TypeError):
                    await first.send_all("text")  # type: ignore[arg-type]

        await check_nothing_grows(exchange, events(500, 30_000), first, second, messages=sent)


async def test_cancelled_calls(kind: type[Stream]) -> None:
    """Receives that find nothing, and sends that find no room, each cancelled while it waits."""
    data = bytes(1000)
    ours, theirs = stdlib_pair()
    with ours.dup() as copy:
        async with stream_and_peer(kind) as (stream, _), stream_on(kind, ours) as full, stream_on(kind, theirs):
            await full.send_all(b"x")
            fill(copy)

            async def cancel(count: int) -> None:
                for number in range(count):
                    with trio.move_on_after(0) as receiving:
                        await stream.receive_some(None if number % 2 else 1)
                    with trio.move_on_after(0) as sending:
                        await full.send_all(data)
                    assert receiving.cancelled_caught
                    assert sending.cancelled_caught

            await check_nothing_grows(cancel, events(1_000, 80_000), stream, full, messages=[data])
            full.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_resets(kind: type[Stream]) -> None:
    """Connections that the peer resets while a task receives, and before one sends."""

    data = bytes(100)

    async def break_off(count: int) -> None:
        for _ in range(count):
            async with stream_and_peer(kind) as (stream, theirs):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(receive_and_fail, stream)
                    await wait_all_tasks_blocked()
                    reset(theirs)
                with pytest.raises(trio.BrokenResourceError):
                    await stream.send_all(data)

    async def receive_and_fail(stream: Stream) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some(10)

    async with stream_and_peer(kind) as (other, _):
        await check_nothing_grows(break_off, events(150, 10_000), other, messages=[data])


async def test_closes(kind: type[Stream]) -> None:
    """Connections that are opened, used, and closed under a task that waits; and calls on what is closed."""

    data = bytes(100)

    async def open_and_close(count: int) -> None:
        for _ in range(count):
            async with two_streams(kind) as (first, second):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(receive_and_fail, first)
                    await wait_all_tasks_blocked()
                    await first.aclose()
                assert await second.receive_some(1) == b""
                with pytest.raises(trio.ClosedResourceError):
                    await first.send_all(data)
                await second.send_eof()

    async def receive_and_fail(stream: Stream) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some(10)

    async with stream_and_peer(kind) as (other, _):
        await check_nothing_grows(open_and_close, events(150, 10_000), other, messages=[data])


async def test_calls_that_are_never_finished(kind: type[Stream]) -> None:
    """Calls that are never awaited, and ones that are closed or thrown into before they begin."""
    data = bytes(100)

    async with stream_and_peer(kind) as (stream, _):

        async def leave(count: int) -> None:
            for _ in range(count):
                calls: list[Any] = [stream.receive_some(1), stream.send_all(data)]
                with pytest.warns(RuntimeWarning, match="was never awaited"):
                    calls.clear()
                calls = [stream.receive_some(1), stream.send_all(data)]
                calls[0].close()
                with pytest.raises(KeyError):
                    calls[1].throw(KeyError("thrown"))

        await check_nothing_grows(leave, events(300, 20_000), stream, messages=[data])
