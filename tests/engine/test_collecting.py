"""What each way of collecting completions promises, beside being one: see ``test_ways.py`` for that."""

from __future__ import annotations

import signal
import socket
import threading
import time
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import trio_rio
from trio_rio.testing import assert_ledger_balanced, current_ledger

from ..platforms import is_wine, needs_signals
from .harness import PATIENCE_SECONDS, numbered, open_pair, receive_exactly, send_all, stdlib_pair, tcp_pair

POLLING = [
    pytest.param(
        "polled",
        marks=pytest.mark.rio_config(notification="polled"),
    ),
    pytest.param("busy", marks=pytest.mark.rio_config(busy_poll_seconds=0.2)),
]
polling = pytest.mark.parametrize("way", POLLING, indirect=True)


def engine() -> Any:
    """The engine of this run."""
    return trio._core._run.GLOBAL_RUN_CONTEXT.runner.io_manager.engine  # type: ignore[attr-defined]


def charges() -> list[int]:
    """What is promised by each completion queue, now."""
    return [collector.queue.charged for collector in engine().collectors.all]


async def attach(sock: trio.socket.SocketType) -> None:
    """Have the socket's first request made, by a receive that is cancelled."""
    with trio.move_on_after(0.001):
        await sock.recv(1)


# ----------------------------------------------------------------------------------------------------------
# Which queue
# ----------------------------------------------------------------------------------------------------------


@pytest.mark.rio_config(completion_queues=3, separate_send_queue=False)
async def test_sockets_are_spread_in_turn() -> None:
    """With three queues six sockets make two shares of each, in the order in which they are first used."""
    pairs = [await tcp_pair() for _ in range(3)]
    sockets = [sock for pair in pairs for sock in pair]
    seen = []
    for sock in sockets:
        await attach(sock)
        seen.append(charges())
    share = seen[0][0]
    assert share > 0
    assert seen == [
        [share * n for n in row] for row in ([1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 1], [2, 2, 1], [2, 2, 2])
    ]
    for sock in sockets:
        sock.close()


async def test_sends_have_a_queue_of_their_own_on_uring(rio_provider: str) -> None:
    """Unless an option says otherwise: what has gone is not behind what has come since."""
    client, server = await tcp_pair()
    with client, server:
        await attach(server)
        promised = charges()
    assert len(promised) == (2 if rio_provider == "uring" else 1)
    assert all(promised)


@pytest.mark.rio_config(completion_queues=3)
async def test_a_gap_is_filled_first() -> None:
    """A socket goes to the queue that is charged least: where one was closed, not where the turn would be."""
    pairs = [await tcp_pair() for _ in range(3)]
    sockets = [sock for pair in pairs for sock in pair]
    for sock in sockets[:5]:
        await attach(sock)
    full = charges()
    assert full[0] == full[1] > full[2]
    sockets[1].close()
    await wait_all_tasks_blocked()
    assert charges()[1] == full[2]
    await attach(sockets[5])
    assert charges() == full
    for sock in sockets:
        sock.close()


@pytest.mark.rio_config(separate_send_queue=True, sends_outstanding_max=5)
async def test_sends_have_a_queue_of_their_own() -> None:
    """With separate_send_queue a socket's sends are charged to another queue than its receives."""
    async with open_pair() as (client, _):
        await attach(client)
        receives, sends = charges()
        assert (receives > 0, sends) == (True, 5)


@pytest.mark.rio_config(completion_queues=2, separate_send_queue=True)
async def test_there_is_a_twin_for_each_queue() -> None:
    """Two queues and their twins are four, and a socket is charged to one of each kind."""
    pairs = [await tcp_pair()]
    for sock in pairs[0]:
        await attach(sock)
    assert trio_rio.current_statistics().completion_queues == 4
    assert all(charges())
    for sock in pairs[0]:
        sock.close()


@pytest.mark.rio_config(completion_queues=2, completion_queue_size=1, completion_queue_size_max=10)
async def test_a_full_queue_is_not_chosen_while_another_has_room() -> None:
    """As many sockets as all queues together have room for can be used; the next one says what is needed."""
    pairs = [await tcp_pair() for _ in range(2)]
    await attach(pairs[0][0])
    await attach(pairs[0][1])
    with pytest.raises(trio_rio.RioResourceError, match="completion_queue") as caught:
        await pairs[1][0].recv(1)
    assert "completion_queues" in caught.value.remedy
    pairs[0][1].close()
    await wait_all_tasks_blocked()
    await attach(pairs[1][0])
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()


@pytest.mark.rio_config(completion_queues=3, separate_send_queue=True, results_per_turn=1)
async def test_order_is_kept_with_many_queues_and_short_turns() -> None:
    """Bytes of each of many streams come in order when a turn is one result and queues take turns."""
    size = 200_000
    pairs = [await tcp_pair() for _ in range(7)]

    async def send(number: int, sock: trio.socket.SocketType) -> None:
        await send_all(sock, numbered(number, 0, size))

    async def receive(number: int, sock: trio.socket.SocketType) -> None:
        assert await receive_exactly(sock, size) == numbered(number, 0, size)

    async with trio.open_nursery() as nursery:
        for number, (left, right) in enumerate(pairs):
            nursery.start_soon(send, number, left)
            nursery.start_soon(receive, number, right)
            nursery.start_soon(send, number + 100, right)
            nursery.start_soon(receive, number + 100, left)
    assert trio_rio.current_statistics().results_per_dequeue_max == 1
    assert_ledger_balanced()
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()


# ----------------------------------------------------------------------------------------------------------
# Signals
# ----------------------------------------------------------------------------------------------------------


async def exchange(count: int) -> trio_rio.RioStatistics:
    """Messages that are each waited for, and what the run says after them."""
    async with open_pair() as (client, server), trio.open_nursery() as nursery:

        async def echo() -> None:
            for _ in range(count):
                await server.send(await server.recv(10))

        nursery.start_soon(echo)
        for _ in range(count):
            await client.send(b"x")
            assert await client.recv(10) == b"x"
    return trio_rio.current_statistics()


@pytest.mark.rio_config(notification="polled", completion_queues=2)
async def test_polled_queues_are_never_armed() -> None:
    """With "polled" there are results, and no notification is asked for or comes."""
    numbers = await exchange(20)
    assert numbers.notification == "polled"
    assert numbers.completions_dequeued >= 20  # the rest was there at once
    assert (numbers.notifications_armed, numbers.notifications_received) == (0, 0)


@pytest.mark.rio_config(notification="event", completion_queues=2)
async def test_events_wake_the_notifier() -> None:
    """With "event" what is received was signalled by an event, one for all queues."""
    numbers = await exchange(20)
    assert numbers.notification == "event"
    assert 0 < numbers.notifications_received <= numbers.notifications_armed


@pytest.mark.rio_config(notification="port", busy_poll_seconds=60)
async def test_nothing_is_armed_while_there_is_time_to_poll() -> None:
    """While results come within busy_poll_seconds, no queue is armed."""
    numbers = await exchange(20)
    assert numbers.notification == "port"
    assert numbers.completions_dequeued >= 20  # the rest was there at once
    assert numbers.notifications_armed == 0


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(
            name, marks=pytest.mark.rio_config(notification=name, busy_poll_seconds=0.005, completion_queues=2)
        )
        for name in ("port", "event")
    ],
    indirect=True,
)
async def test_queues_are_armed_when_the_time_to_poll_is_over(way: str) -> None:
    """After busy_poll_seconds without a result the run sleeps, and a result that comes then wakes it."""
    async with open_pair() as (client, server):
        with trio.fail_after(PATIENCE_SECONDS):
            # Where the machine is busy, polling may go on until the result is there.
            while not trio_rio.current_statistics().notifications_received:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client.recv, 10)
                    await trio.sleep(0.05)  # this long nothing comes
                    assert trio_rio.current_statistics().notifications_armed > 0
                    threading.Timer(0.02, server._sock.send, (b"x",)).start()  # type: ignore[attr-defined]
        assert trio_rio.current_statistics().notification == way


@pytest.mark.rio_config(notification="event")
async def test_the_wait_for_the_event_is_not_counted_as_a_task_that_reads() -> None:
    """The statistics of Trio count the tasks of the program, not the notifier."""
    async with open_pair() as (client, server):
        before = trio.lowlevel.current_statistics()
        await server.send(b"x")
        assert await client.recv(1) == b"x"
        await wait_all_tasks_blocked()
        now = trio.lowlevel.current_statistics()
        assert current_ledger().is_notifier_waiting
        assert now.io_statistics == before.io_statistics
        assert now.tasks_living == before.tasks_living


# ----------------------------------------------------------------------------------------------------------
# What a run that polls means to the rest of Trio
# ----------------------------------------------------------------------------------------------------------


# A clock that advances in steps may show less than has passed.
CLOCK_RESOLUTION_SECONDS = time.get_clock_info("monotonic").resolution


@polling
async def test_all_tasks_can_be_blocked(way: str) -> None:
    """wait_all_tasks_blocked ends while a receive is posted, after its cushion and not before."""
    async with open_pair() as (client, _), trio.open_nursery() as nursery:
        nursery.start_soon(client.recv, 1)
        started = time.monotonic()
        await wait_all_tasks_blocked(0.02)
        assert time.monotonic() - started >= 0.02 - CLOCK_RESOLUTION_SECONDS
        nursery.cancel_scope.cancel()


@polling
async def test_a_clock_jumps_while_a_receive_is_posted(way: str, autojump_clock: MockClock) -> None:
    """A clock that jumps when nothing can run jumps, though results are looked for all the time."""
    async with open_pair() as (client, _), trio.open_nursery() as nursery:
        nursery.start_soon(client.recv, 1)
        started = time.monotonic()
        await trio.sleep(1000)
        assert time.monotonic() - started < PATIENCE_SECONDS
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "way", [*POLLING, pytest.param("event", marks=pytest.mark.rio_config(notification="event"))], indirect=True
)
async def test_what_was_sent_has_come_when_all_tasks_are_blocked(way: str) -> None:
    """What one task sent over loopback is with the task that waits for it before wait_all_tasks_blocked returns."""
    if is_wine():
        pytest.skip("the lane's table moves bytes in a thread of its own, a moment later")
    got: list[bytes] = []

    async def receive(sock: trio.socket.SocketType) -> None:
        while data := await sock.recv(10):
            got.append(data)

    async with open_pair() as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(receive, server)
        for number in range(50):
            await client.send(b"%d" % number)
            await wait_all_tasks_blocked()
            assert got[-1:] == [b"%d" % number]
        nursery.cancel_scope.cancel()


@polling
async def test_deadlines_end_a_wait_in_time(way: str) -> None:
    """A timeout ends a receive when its time has come."""
    async with open_pair() as (client, _):
        for _ in range(5):
            with trio.move_on_after(0.02) as scope:
                await client.recv(1)
            assert scope.cancelled_caught
            assert trio.current_time() >= scope.deadline


@polling
async def test_other_threads_get_through(way: str) -> None:
    """A thread can run Python, and can call back into the run, while the run polls."""
    async with open_pair() as (client, _), trio.open_nursery() as nursery:
        nursery.start_soon(client.recv, 1)

        def work() -> int:
            total = sum(range(100_000))
            return total + trio.from_thread.run_sync(lambda: 1)

        with trio.fail_after(PATIENCE_SECONDS):
            assert await trio.to_thread.run_sync(work) == 4999950001
        nursery.cancel_scope.cancel()


@needs_signals
@polling
def test_control_c_ends_a_run_that_polls(way: str, rio_run: Any) -> None:
    """KeyboardInterrupt reaches a main task that waits for data."""

    async def main() -> None:
        async with open_pair() as (client, _):
            threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
            await client.recv(1)

    with pytest.raises(KeyboardInterrupt):
        rio_run(main)


@pytest.mark.providers("uring", "portable")  # winsock keeps a receive in flight
@pytest.mark.rio_config(notification="polled")
async def test_a_polled_run_sleeps_while_nothing_is_outstanding() -> None:
    """A run that has no request in flight has nothing to look for: it sleeps, though its queues are polled."""
    async with open_pair() as (client, server):
        await client.send(b"x")
        assert await server.recv(1) == b"x"
        before = trio_rio.current_statistics().dequeue_calls
        await trio.sleep(0.05)
        assert trio_rio.current_statistics().dequeue_calls - before < 10


@pytest.mark.rio_config(notification="polled")
async def test_a_polled_run_looks_all_the_time() -> None:
    """A run that has a request in flight looks again and again where others sleep."""
    async with open_pair() as (client, _), trio.open_nursery() as nursery:
        nursery.start_soon(client.recv, 1)
        await wait_all_tasks_blocked()
        before = trio_rio.current_statistics().dequeue_calls
        await trio.sleep(0.1)
        assert trio_rio.current_statistics().dequeue_calls - before > 10
        nursery.cancel_scope.cancel()


@pytest.mark.rio_config(notification="polled")
async def test_a_polled_run_looks_for_datagrams_of_a_channel() -> None:
    """A channel's receives are in flight all the time, and a polled run does not sleep then."""
    async with await trio_rio.open_datagram_channel(("127.0.0.1", 0)) as channel:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.receive)
            await wait_all_tasks_blocked()
            before = trio_rio.current_statistics().dequeue_calls
            await trio.sleep(0.1)
            assert trio_rio.current_statistics().dequeue_calls - before > 10
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("notification", "busy"), [("port", 0), ("port", 0.001), ("event", 0), ("event", 0.001), ("polled", 0)]
)
def test_sends_in_flight_at_the_end_of_a_run_arrive(notification: Any, busy: float, rio_provider: str) -> None:
    """What close() took over is sent while the run ends, in each way of collecting."""
    config = trio_rio.RioConfig(
        provider=rio_provider, cancellation="detach", notification=notification, busy_poll_seconds=busy,
        completion_queues=2, separate_send_queue=True,
    )  # fmt: skip
    received = bytearray()

    def read(theirs: socket.socket) -> None:
        while data := theirs.recv(65536):
            received.extend(data)

    async def main(ours: socket.socket) -> None:
        with trio.socket.from_stdlib_socket(ours) as sock:
            await send_all(sock, numbered(1, 0, 1 << 20))

    ours, theirs = stdlib_pair()
    thread = threading.Thread(target=read, args=(theirs,))
    with theirs:
        thread.start()
        trio_rio.run(main, ours, config=config)
        thread.join(PATIENCE_SECONDS)
    assert received == numbered(1, 0, 1 << 20)
