"""The contract of streams, for each way of collecting completions. A half-closeable stream's contains the others."""

from __future__ import annotations

from trio.testing import check_half_closeable_stream

from trio_rio import RioStream

from .harness import tcp_pair
from .test_ways import pytestmark

__all__ = ["pytestmark"]


async def make_streams() -> tuple[RioStream, RioStream]:
    client, server = await tcp_pair()
    return RioStream(client), RioStream(server)


async def test_half_closeable_stream() -> None:
    """A connection is a HalfCloseableStream, as Trio defines it."""
    await check_half_closeable_stream(make_streams, None)
