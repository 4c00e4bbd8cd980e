"""Windows that loses notifications once a run is under way: the run looks for itself, goes on, and says so once.

The probe of a provider would refuse such a table, so the knob is turned in the middle of a run.
"""

from __future__ import annotations

import logging
import socket
import time
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import trio_rio
from trio_rio._engine.current import engine_of_run

from ...engine.test_guest import run_on_queue

pytestmark = pytest.mark.providers("winsock")

MESSAGES = 10


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def exchange(knobs: Any) -> None:
    """Messages there and back, with every notification lost from the second on."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        async with await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]) as stream:
            for number in range(MESSAGES):
                await stream.send_all(b"%d" % number)
                assert await stream.receive_some() == b"%d" % number
                if not number:
                    knobs(LOSE_NOTIFICATIONS=1)
        nursery.cancel_scope.cancel()


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("notification", ["port", "event"])
def test_a_run_goes_on_without_notifications_and_says_so_once(
    notification: Any, knobs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Every message arrives; one WARNING, whose remedy is in it."""
    config = trio_rio.RioConfig(provider="winsock", notification=notification)
    trio_rio.run(exchange, knobs, config=config)
    (warning,) = warnings_in(caplog)
    assert "lost a notification" in warning
    assert "Remedy" in warning


def test_a_guest_run_goes_on_without_notifications(knobs: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The thread that waits looks, and the run's own thread is told."""
    run_on_queue(exchange, knobs, config=trio_rio.RioConfig(provider="winsock"))
    assert len(warnings_in(caplog)) == 1


def test_datagrams_come_without_notifications(knobs: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Queues that are not the engine's own are looked after too."""

    async def main() -> None:
        async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as channel:
            address = channel.socket.getsockname()
            for number in range(MESSAGES):
                await channel.send(b"%d" % number, address)
                assert await channel.receive() == (b"%d" % number, address)
                if not number:
                    knobs(LOSE_NOTIFICATIONS=1)

    trio_rio.run(main, config=trio_rio.RioConfig(provider="winsock"))
    assert len(warnings_in(caplog)) == 1


def test_results_that_nobody_wants_are_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    """A packet that came while no task waited is no reason to warn, however long its results stay."""

    async def main() -> None:
        async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as channel:
            with trio.move_on_after(0.01):
                await channel.receive()
            await channel.send(b"x", channel.socket.getsockname())
            await trio.sleep(0.5)
            assert (await channel.receive())[0] == b"x"

    trio_rio.run(main, config=trio_rio.RioConfig(provider="winsock"))
    assert not warnings_in(caplog)


def test_an_idle_run_says_nothing_and_ends_on_time(caplog: pytest.LogCaptureFixture) -> None:
    """With a receive posted for longer than many looks nothing is found, and a deadline is kept."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, echo, 0)
            async with await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]) as stream:
                start = time.perf_counter()  # Trio's own clock: monotonic() advances in steps of 10 ms or more
                with trio.move_on_after(0.6) as scope:
                    await stream.receive_some()
                assert scope.cancelled_caught
                assert time.perf_counter() - start >= 0.6
            nursery.cancel_scope.cancel()

    trio_rio.run(main, config=trio_rio.RioConfig(provider="winsock"))
    assert not warnings_in(caplog)


def test_looks_are_no_events(knobs: Any) -> None:
    """A run that looks every 50 ms still finds all tasks blocked for longer, and a clock that jumps jumps."""

    async def main() -> None:
        await exchange(knobs)
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, echo, 0)
            async with await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]) as stream:
                nursery.start_soon(stream.receive_some)
                with trio.fail_after(1_000_000):
                    await wait_all_tasks_blocked(cushion=0.3)
                    await trio.sleep(10_000)
                nursery.cancel_scope.cancel()

    clock = MockClock(autojump_threshold=0.25)
    trio_rio.run(main, clock=clock, config=trio_rio.RioConfig(provider="winsock"))


def test_the_end_of_a_run_does_not_rely_on_notifications(knobs: Any) -> None:
    """A send that completes while the run ends is seen to, and not aborted when its time to linger is over."""
    engines = []

    async def main() -> None:
        engines.append(engine_of_run())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with await trio.open_tcp_stream(*listener.getsockname()) as stream:
                knobs(LOSE_NOTIFICATIONS=1, DELAY_MILLISECONDS=500)
                for _ in range(5):
                    await stream.send_all(b"x")

    trio_rio.run(main, config=trio_rio.RioConfig(provider="winsock", linger_seconds=4.0))
    assert engines[0].counters.drained_late == 0
