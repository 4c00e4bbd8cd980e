"""Tests by pytest-trio. ``pytest -p trio_rio.pytest_plugin`` runs them on completion queues."""

from __future__ import annotations

import pytest
import trio
import trio.testing


async def echo(stream: trio.SocketStream) -> None:
    """Send back what comes."""
    async for data in stream:
        await stream.send_all(data)


@pytest.mark.trio
async def test_echo(nursery: trio.Nursery) -> None:
    """What is sent comes back."""
    listeners = await nursery.start(trio.serve_tcp, echo, 0)
    async with await trio.testing.open_stream_to_socket_listener(listeners[0]) as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"
