"""Tests by anyio's plugin. ``pytest -p trio_rio.pytest_plugin`` runs those for Trio on completion queues."""

from __future__ import annotations

import anyio
import anyio.abc
import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Run on Trio."""
    return "trio"


async def echo(stream: anyio.abc.SocketStream) -> None:
    """Send back what comes."""
    async with stream:
        async for data in stream:
            await stream.send(data)


@pytest.mark.anyio
async def test_echo() -> None:
    """What is sent comes back."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, echo)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
        group.cancel_scope.cancel()
