"""Streams that are closed while what they have accepted still goes out: what went wrong once."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import RioStream

from ..engine.harness import PATIENCE_SECONDS, SetWhenWoken, receive_all, tcp_pair
from ..platforms import needs_full_buffers

# Where one send cannot be cancelled, what was accepted goes out after the close.
pytestmark = [
    pytest.mark.rio_config(cancellation="detach", linger_seconds=2 * PATIENCE_SECONDS),
    needs_full_buffers,
]

# More than the window and the kernel hold.
SIZE_BYTES = 1 << 25
# Which of two tasks that are woken together runs first is up to chance.
ROUNDS = 8


async def send_until_closed(stream: RioStream, tasks: list[trio.lowlevel.Task]) -> None:
    tasks.append(trio.lowlevel.current_task())
    with pytest.raises(trio.ClosedResourceError):
        await stream.send_all(bytes(SIZE_BYTES))


def close_when_woken(nursery: trio.Nursery, stream: RioStream, task: trio.lowlevel.Task) -> None:
    """Close the stream in the turn in which that task is woken."""
    is_woken = trio.Event()
    trio.lowlevel.add_instrument(SetWhenWoken(task, is_woken))

    async def close() -> None:
        await is_woken.wait()
        await stream.aclose()

    nursery.start_soon(close)


@pytest.mark.parametrize("turns", [1, 2, 3, 4])
async def test_a_send_ends_with_the_close(turns: int) -> None:
    """A task that has sent a part gets ClosedResourceError when the stream is closed, and sends no more."""
    client, peer = await tcp_pair()
    stream = RioStream(client)
    with peer, trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_until_closed, stream, [])
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            await stream.aclose()
        assert len(await receive_all(peer)) < SIZE_BYTES


async def test_a_send_that_is_woken_ends_with_the_close() -> None:
    """A task that may send again gets ClosedResourceError when the stream is closed before it runs."""
    for _ in range(ROUNDS):
        client, peer = await tcp_pair()
        stream = RioStream(client)
        tasks: list[trio.lowlevel.Task] = []
        with peer, trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_until_closed, stream, tasks)
                await wait_all_tasks_blocked()
                close_when_woken(nursery, stream, tasks[0])
                assert len(await receive_all(peer)) < SIZE_BYTES


@pytest.mark.parametrize("is_lent", [False, True])
async def test_a_receive_ends_with_the_close(is_lent: bool) -> None:
    """A task that receives does not wait for the sends that go out: it gets the data, or ClosedResourceError."""
    for _ in range(ROUNDS):
        client, peer = await tcp_pair()
        stream = RioStream(client)
        received = trio.Event()

        async def receive(stream: RioStream, received: trio.Event, tasks: list[trio.lowlevel.Task]) -> None:
            tasks.append(trio.lowlevel.current_task())
            try:
                if is_lent:
                    async with stream.receive_lease() as view:
                        assert bytes(view) == b"x"
                else:
                    assert await stream.receive_some() == b"x"
            except trio.ClosedResourceError:
                pass
            received.set()

        readers: list[trio.lowlevel.Task] = []
        with peer, trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_until_closed, stream, [])
                nursery.start_soon(receive, stream, received, readers)
                await wait_all_tasks_blocked()
                close_when_woken(nursery, stream, readers[0])
                await peer.send(b"x")
                await received.wait()
