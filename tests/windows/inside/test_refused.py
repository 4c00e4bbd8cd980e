"""Windows that has no RIO, or one that does not work, by a knob of the table: portable serves, and says why."""

from __future__ import annotations

import os
import re

import pytest
import trio

import trio_rio

# Which knob is turned, and what the refusal says.
REASONS = {
    "REFUSE": r"WSAIoctl gives no RIO function table: WSAEOPNOTSUPP \(10045\)",
    "REFUSE_MEMORY": r"memory cannot be registered: RIORegisterBuffer failed with WSAEFAULT \(10014\)",
    "REFUSE_QUEUES": r"no queue can be made: RIOCreateCompletionQueue failed with WSAEFAULT \(10014\)",
    "LOSE_COMPLETIONS": "a datagram that was sent to itself never completed within 1 s",
    "LOSE_NOTIFICATIONS": "a datagram that was sent to itself completed, and no notification came within 1 s",
}
TURNED = [name for name in REASONS if f"TRIO_RIO_LANE_{name}" in os.environ]

pytestmark = pytest.mark.skipif(not TURNED, reason="this run has RIO")


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
    """Runs without a demand fall back, and work."""
    assert [trio_rio.run(echo_once) for _ in range(3)] == ["portable"] * 3


def test_the_probe_says_why() -> None:
    """winsock is refused with a reason and a remedy, and portable is chosen because of that."""
    report = trio_rio.probe()
    winsock = next(provider for provider in report.providers if provider.name == "winsock")
    assert not winsock.is_available
    assert re.search(REASONS[TURNED[0]], winsock.reason)
    assert winsock.remedy
    assert report.chosen == "portable"
    assert winsock.reason in report.chosen_because


def test_a_demand_for_winsock_is_refused() -> None:
    """RioUnavailableError, with the reason."""
    with pytest.raises(trio_rio.RioUnavailableError, match=REASONS[TURNED[0]]):
        trio_rio.run(echo_once, config=trio_rio.RioConfig(provider="winsock"))


def test_every_later_run_falls_back_too() -> None:
    """install() chooses anew for each run of Trio's own."""
    trio_rio.install()
    try:
        assert [trio.run(echo_once) for _ in range(2)] == ["portable"] * 2
    finally:
        trio_rio.uninstall()
