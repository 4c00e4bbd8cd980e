"""Windows that refuses its function table, by TRIO_RIO_LANE_REFUSE=1: portable serves, and says why."""

from __future__ import annotations

import os

import pytest
import trio

import trio_rio

pytestmark = pytest.mark.skipif("TRIO_RIO_LANE_REFUSE" not in os.environ, reason="this run has RIO")


async def echo_once() -> str:
    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        async with await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]) as stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
        nursery.cancel_scope.cancel()
    return trio_rio.current_statistics().provider


def test_portable_serves() -> None:
    """A run without a demand falls back, and works."""
    assert trio_rio.run(echo_once) == "portable"


def test_the_probe_says_why() -> None:
    """winsock is refused with a reason and a remedy, and portable is chosen because of that."""
    report = trio_rio.probe()
    winsock = next(provider for provider in report.providers if provider.name == "winsock")
    assert not winsock.is_available
    assert winsock.reason
    assert winsock.remedy
    assert report.chosen == "portable"
    assert winsock.reason in report.chosen_because


def test_a_demand_for_winsock_is_refused() -> None:
    """RioUnavailableError, with the reason."""
    with pytest.raises(trio_rio.RioUnavailableError):
        trio_rio.run(echo_once, config=trio_rio.RioConfig(provider="winsock"))
