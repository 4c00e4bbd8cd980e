"""Whatever a configuration is made of, if it is accepted it works: a search, and what went wrong once."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import trio
from hypothesis import strategies as st

import trio_rio
from trio_rio import RioConfig, RioStream

from ..engine.datagrams import address_of, open_two
from ..engine.harness import PATIENCE_SECONDS, numbered, tcp_pair, udp_socket

MIB = 1 << 20
SOCKETS = 8  # that are open at a time in the exchange below, at most


async def exchange() -> None:
    """Streams, datagrams and leases carry what they are given."""
    with trio.fail_after(PATIENCE_SECONDS * 3):
        await over_streams()
        await over_leases()
        await over_sockets()
        await over_channels()


async def over_streams() -> None:
    client, server = map(RioStream, await tcp_pair())
    async with client, server:
        for size in (1, 5_000, 70_000, 3_000_000):
            data = numbered(1, 0, size)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send_all, data)
                received = b""
                while len(received) < size:
                    received += await server.receive_some(1_000_000 if len(received) % 2 else None)
            assert received == data
        await client.send_eof()
        assert await server.receive_some() == b""


async def over_leases() -> None:
    client, server = map(RioStream, await tcp_pair())
    async with client, server:
        data = numbered(2, 0, 300_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send_all, data)
            received = b""
            while len(received) < len(data):
                async with server.receive_lease() as view:
                    received += bytes(view)
        assert received == data
        async with server.lease_send(4096) as view:
            view[:] = data[:4096]
        received = b""
        while len(received) < 4096:
            received += await client.receive_some(4096 - len(received))
        assert received == data[:4096]


async def over_sockets() -> None:
    client, server = await tcp_pair()
    with client, server:
        await client.send(b"0123456789")
        memory = bytearray(10)
        count = await server.recv_into(memory)
        assert memory[:count] == b"0123456789"[:count]
    with await udp_socket() as one, await udp_socket() as other:
        for size in (0, 1, 5_000, 60_000):
            data = numbered(3, 0, size)
            await one.sendto(data, other.getsockname())
            assert await other.recvfrom(65_536) == (data, one.getsockname())


async def over_channels() -> None:
    async with open_two() as (one, other):
        batch = [numbered(4, 0, size) for size in (0, 1, 5_000, 60_000)]
        assert await one.send_many([(data, address_of(other)) for data in batch]) == len(batch)
        received: list[bytes] = []
        while len(received) < len(batch):
            async with other.receive_lease(2) as datagrams:
                received += [bytes(view) for view, _ in datagrams]
        assert received == batch


def around(low: int, high: int, *usual: int) -> st.SearchStrategy[int]:
    """The ends of a range, what people use, and anything."""
    return st.sampled_from([low, low + 1, *usual, high]) | st.integers(low, high)


OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "cancellation": st.sampled_from([None, "request", "detach"]),
    "read_ahead": st.none() | around(0, 64),
    "datagram_read_ahead": st.none() | around(0, 1024, 32),
    "send_window_bytes": st.none() | around(0, 1 << 30, MIB),
    "notification": st.sampled_from(["port", "event", "polled"]),
    "busy_poll_seconds": st.sampled_from([0.0, 5e-324, 1e-6, 1e-4]),
    "completion_queues": around(1, 64, 3),
    "separate_send_queue": st.booleans(),
    "results_per_turn": around(1, 65536),
    "small_slice_size_bytes": around(512, 65536, 4096),
    "large_slice_size_bytes": around(4096, 16 * MIB, 65536),
    "bulk_slice_size_bytes": around(0, 64 * MIB, 512, 65536, MIB),
    # More would be used: 1024 datagrams ahead in the largest slices are 16 GiB for each socket.
    "registered_bytes_max": st.sampled_from([65536, 65537, MIB, 16 * MIB, 256 * MIB]),
    "copy_bytes_max": around(0, 1 << 30, 4096, 65536),
    "sends_outstanding_max": st.none() | around(1, 4096),
    "completion_queue_size": st.sampled_from([1, 2, 7, 1024, 1 << 20]),
    "completion_queue_size_max": st.sampled_from([2, 10, 100, 20_000, 1 << 22, 0x8000000]),
    "linger_seconds": st.sampled_from([0.0, 1e-3, 5.0]),
}


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Some options, the others as they are by default, that are accepted together."""
    names = draw(st.lists(st.sampled_from(sorted(OPTIONS)), unique=True, max_size=8))
    options = {name: draw(OPTIONS[name]) for name in names}
    try:
        RioConfig(**options)
    except ValueError:
        hypothesis.reject()
    return options


def run(provider: str, options: dict[str, Any]) -> None:
    config = RioConfig(provider=provider, **options)
    if config.cancellation == "request" and provider == "winsock":
        return
    need = max(config.read_ahead or 1, config.datagram_read_ahead or 32) + 1 + (config.sends_outstanding_max or 8)
    if config.completion_queue_size_max < SOCKETS * need:
        return  # room for fewer sockets than the exchange has, by request
    trio_rio.run(exchange, config=config)


@hypothesis.given(configurations())
@hypothesis.settings(max_examples=60, suppress_health_check=list(hypothesis.HealthCheck))
def test_what_is_accepted_works(rio_provider: str, options: dict[str, Any]) -> None:
    """Any options that RioConfig takes carry streams, datagrams and leases."""
    run(rio_provider, options)


@pytest.mark.parametrize("option", sorted(OPTIONS))
def test_the_ends_of_each_range_work(rio_provider: str, option: str) -> None:
    """An option at the least that it may be, and at the most."""
    limits = {
        "small_slice_size_bytes": (512, 65536),
        "large_slice_size_bytes": (4096, 16 * MIB),
        "bulk_slice_size_bytes": (0, 1, 65536, 65537, 64 * MIB),
        "registered_bytes_max": (131072, 1 << 40),
        "copy_bytes_max": (0, 1 << 30),
        "sends_outstanding_max": (1, 4096),
        "read_ahead": (0, 64),
        "datagram_read_ahead": (0, 1024),
        "send_window_bytes": (1, 1 << 30),
        "results_per_turn": (1, 65536),
        "completion_queues": (1, 64),
        "completion_queue_size": (1, 1 << 20),
        "linger_seconds": (0.0,),
        "busy_poll_seconds": (5e-324,),
    }
    for value in limits.get(option, ()):
        run(rio_provider, {option: value})


def test_streams_without_slices_of_the_bulk_size(rio_provider: str) -> None:
    """With ``bulk_slice_size_bytes=0`` much is received by the large ones."""
    trio_rio.run(over_streams, config=RioConfig(provider=rio_provider, bulk_slice_size_bytes=0))
