"""The provider has no memory for what it is asked for: sockets go on by plain calls; what went wrong once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
import trio

import trio_rio
from trio_rio._engine.current import engine_of_run
from trio_rio._engine.traffic import Traffic
from trio_rio.rio import Provider, RequestQueue, RioCallError, Status

from ..engine.datagrams import address_of, receive_all, stdlib_peer
from ..engine.harness import BOTH_MODES, open_pair
from .test_every_configuration import exchange, over_channels, over_leases, over_sockets, over_streams

pytestmark = BOTH_MODES

FUNCTIONS = [
    "create_request_queue",
    "register_buffer",
    "register_for_sending",
    "register_new_bytes",
    "resize_completion_queue",
    "post_sends",
]
POSTS = ["post_receive", "post_receive_from", "post_send", "post_send_to"]


def refuse(*_: object) -> NoReturn:
    raise RioCallError("RIO...", Status.ENOBUFS)


def run_out(*_: object) -> NoReturn:
    raise MemoryError


@pytest.mark.parametrize("answer", [refuse, run_out], ids=["WSAENOBUFS", "MemoryError"])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.rio_config(completion_queue_size=1)
async def test_a_function_without_memory(
    monkeypatch: pytest.MonkeyPatch, function: str, answer: Callable[..., NoReturn]
) -> None:
    """Whichever function of the table has no memory, streams, datagrams and leases carry what they are given."""
    monkeypatch.setattr(engine_of_run().provider, function, answer)
    await exchange()


@pytest.mark.parametrize("post", POSTS)
async def test_a_post_without_memory(monkeypatch: pytest.MonkeyPatch, post: str) -> None:
    """The same for a request that there is no memory for."""
    provider = engine_of_run().provider
    create: Callable[..., RequestQueue] = provider.create_request_queue

    def create_without(*arguments: Any) -> RequestQueue:
        queue = create(*arguments)
        setattr(queue, post, lambda *_: Status.ENOBUFS)
        return queue

    monkeypatch.setattr(provider, "create_request_queue", create_without)
    await over_streams()
    await over_leases()
    await over_sockets()
    if post != "post_receive_from":  # a channel that has no receive at all says so
        await over_channels()


async def test_a_function_without_memory_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that was used without a request queue has one when there is memory again."""
    provider = engine_of_run().provider
    async with open_pair() as (ours, theirs):
        with monkeypatch.context() as patch:
            patch.setattr(provider, "create_request_queue", refuse)
            await ours.send(b"one")
            assert await theirs.recv(10) == b"one"
            assert trio_rio.current_statistics().sockets_open == 0
        await ours.send(b"two")
        assert await theirs.recv(10) == b"two"
        assert trio_rio.current_statistics().sockets_open == 2


@pytest.fixture
def posts_of_two(monkeypatch: pytest.MonkeyPatch) -> Callable[[Provider], None]:
    """Lets a provider post two sends of datagrams at a time."""

    def restrict(provider: Provider) -> None:
        post = provider.post_sends

        def post_two(queue: Any, row: Any, lengths: Any, *rest: Any) -> int:
            return post(queue, row, lengths[:2], *rest)

        monkeypatch.setattr(provider, "post_sends", post_two)

    return restrict


async def test_sends_that_are_posted_in_part(posts_of_two: Callable[[Provider], None]) -> None:
    """Where there is memory for some of a batch, all of it goes out, in order, each datagram once."""
    async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as channel:
        with stdlib_peer() as peer:
            peer.sendto(b"in", address_of(channel))
            assert await receive_all(channel, 1) == [b"in"]
            posts_of_two(engine_of_run().provider)
            batch = [b"%d" % number for number in range(7)]
            assert await channel.send_many([(data, peer.getsockname()) for data in batch]) == 7
            assert [peer.recv(10) for _ in batch] == batch


async def test_a_channel_without_address_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel whose memory cannot be had goes on by plain calls."""
    for error in (OSError(12, "Cannot allocate memory"), MemoryError()):

        def fail(*_: object, error: BaseException = error) -> NoReturn:
            raise error

        with monkeypatch.context() as patch, trio.fail_after(10):
            patch.setattr("trio_rio._datagrams.queue.mmap.mmap", fail)
            async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as channel:
                with stdlib_peer() as peer:
                    peer.sendto(b"in", address_of(channel))
                    assert await receive_all(channel, 1) == [b"in"]
                    assert channel.statistics().provider is None


async def test_a_request_queue_without_a_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is memory for a request queue, but not for its channel, the queue is given back."""
    begin = Traffic.__attrs_post_init__
    failures = [1, 1]

    def fail_at_first(channel: Traffic) -> None:
        begin(channel)
        if failures:
            failures.pop()
            raise MemoryError

    monkeypatch.setattr(Traffic, "__attrs_post_init__", fail_at_first)
    async with open_pair() as (ours, theirs):
        for number in range(4):
            await ours.send(b"%d" % number)
            assert await theirs.recv(10) == b"%d" % number
        assert not failures
        numbers = trio_rio.current_statistics()
        # On Windows a socket has one request queue in all its life, and goes Trio's own way after that.
        assert numbers.sockets_open == (0 if numbers.provider == "winsock" else 2)


async def test_a_registration_without_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is memory for a registration, but not for its slices, it is given back, and nothing counts it."""
    arena = engine_of_run().arena
    before = arena.registered_bytes, arena.slices
    with monkeypatch.context() as patch:
        patch.setattr("trio_rio._engine.arena.Slice", run_out)
        assert arena.lease(large=True) is None
    assert (arena.registered_bytes, arena.slices) == before
    slice_ = arena.lease(large=True)
    assert slice_ is not None
    arena.give_back(slice_)


@pytest.mark.providers("uring")
async def test_what_the_core_has_made_without_memory_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no memory for the object of a request queue, or of a registration, the core has none either."""
    provider = engine_of_run().provider
    memory = bytearray(10)
    with monkeypatch.context() as patch:
        patch.setattr("trio_rio.rio.uring.provider.UringRequestQueue", run_out)
        await over_sockets()
        assert trio_rio.current_statistics().completion_queue_used == 0
        patch.setattr("trio_rio.rio.uring.provider.RegisteredBuffer", run_out)
        with pytest.raises(MemoryError):
            provider.register_buffer(memory)
    memory.append(0)  # nothing holds it
