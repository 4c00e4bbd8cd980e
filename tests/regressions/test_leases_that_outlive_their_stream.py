"""Memory that somebody holds longer than the lease, the stream and the run that it came from: what went wrong once."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from trio.testing import wait_all_tasks_blocked

from trio_rio import RioStream
from trio_rio.testing import assert_ledger_balanced

from ..conftest import RioRun
from ..engine.harness import BOTH_MODES, tcp_pair

pytestmark = BOTH_MODES


def drop(what: list[Any]) -> None:
    """Delete the last reference to something; it may complain."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        what.clear()
        gc.collect()
        gc.collect()  # what the provider had let go of when the channel was collected


async def keep_of_receive(streams: list[RioStream]) -> memoryview:
    kept: list[memoryview] = []
    client, server = streams
    await client.send_all(b"0123456789")
    with pytest.raises(BufferError):
        async with server.receive_lease() as view:
            kept.append(view[3:])
    return kept[0]


async def keep_of_send(streams: list[RioStream]) -> memoryview:
    kept: list[memoryview] = []
    with pytest.raises(BufferError):
        async with streams[1].lease_send(10) as view:
            view[:] = b"0123456789"
            kept.append(view[3:])
    return kept[0]


@pytest.mark.parametrize("keep", [keep_of_receive, keep_of_send])
@pytest.mark.parametrize("drops", [True, False], ids=["dropped", "closed"])
def test_the_books_are_balanced_and_the_memory_is_there(
    rio_run: RioRun, keep: Callable[[list[RioStream]], Any], drops: bool
) -> None:
    """The run gives back all that it has, however the stream ends; what was kept has the bytes that it had."""

    async def main() -> memoryview:
        streams = [*map(RioStream, await tcp_pair())]
        kept: memoryview = await keep(streams)
        if not drops:
            for stream in streams:
                await stream.aclose()
        drop(streams)
        return kept

    kept = rio_run(main)
    assert bytes(kept) == b"3456789"


async def test_a_stream_is_closed_though_its_memory_is_held() -> None:
    """The peer of a stream that was dropped sees the end, whoever holds memory of a lease."""
    client, server = map(RioStream, await tcp_pair())
    streams = [client, server]
    kept = await keep_of_receive(streams)
    streams.clear()
    dropped = [server]
    del server
    drop(dropped)
    assert await client.receive_some() == b""
    await client.aclose()
    assert bytes(kept) == b"3456789"
    kept.release()
    await wait_all_tasks_blocked()
    assert_ledger_balanced()
