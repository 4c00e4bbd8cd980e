"""A tick in C does what a tick in Python does, and counts the same."""

from __future__ import annotations

import gc
import socket
import weakref
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio import RioConfig, RioStream
from trio_rio._engine.fields import native
from trio_rio._trio import GLOBAL_RUN_CONTEXT
from trio_rio.testing import current_ledger

from .harness import stdlib_pair

pytestmark = [
    pytest.mark.providers("uring"),
    pytest.mark.skipif(native is None, reason="there is no engine in C"),
]


@pytest.fixture(autouse=True)
def on_uring(rio_provider: str) -> None:
    """Nothing where io_uring is not to be used."""
    assert rio_provider == "uring"


COUNTED = (
    "completions_dequeued", "dequeue_calls", "notifications_armed", "notifications_received", "results_per_dequeue_min",
    "results_per_dequeue_max", "commits",
)  # fmt: skip


def is_in_c() -> bool:
    """Whether the ticks of this run are C's."""
    manager: Any = GLOBAL_RUN_CONTEXT.runner.io_manager
    return type(manager.process_events.__self__) is native.Tick


async def test_the_usual_run_has_its_ticks_in_c() -> None:
    """Nobody has to ask."""
    assert is_in_c()


@pytest.mark.parametrize(
    "options",
    [
        {"engine": "python"},
        {"notifier": "task"},
        {"notification": "event"},
        {"notification": "polled"},
        {"busy_poll_seconds": 0.001},
    ],
    ids=str,
)
def test_unusual_runs_have_their_ticks_in_python(options: dict[str, Any]) -> None:
    """Where packets are not served in place, and with the engine in Python."""

    async def main() -> bool:
        return is_in_c()

    assert not trio_rio.run(main, config=RioConfig(provider="uring", **options))


async def serve_messages(clients: int, messages: int) -> tuple[list[bytes], tuple[object, ...]]:
    """Let clients send numbered messages at once, round by round; what their tasks received, and what was counted."""
    received: list[bytes] = []

    async def receive(stream: RioStream) -> None:
        received.extend([await stream.receive_some() for _ in range(messages)])

    pairs = [stdlib_pair() for _ in range(clients)]
    async with trio.open_nursery() as nursery:
        for ours, _ in pairs:
            stream = RioStream(trio.socket.from_stdlib_socket(ours))
            stream._find_channel()
            nursery.start_soon(receive, stream)
        for number in range(messages):
            await wait_all_tasks_blocked()
            for place, (_, theirs) in enumerate(pairs):
                theirs.send(b"%d.%d" % (number, place))
    now = attrs.asdict(trio_rio.current_statistics())
    for ours, theirs in pairs:
        ours.close()
        theirs.close()
    return sorted(received), tuple(now[name] for name in COUNTED)


@pytest.mark.parametrize("clients", [1, 7])
@pytest.mark.parametrize("results_per_turn", [1, 3, 256])
def test_both_engines_bring_and_count_the_same(clients: int, results_per_turn: int) -> None:
    """Also where a batch is full, and the notifier goes on with the rest."""

    async def main() -> tuple[list[bytes], tuple[object, ...], bool]:
        return *await serve_messages(clients, 5), is_in_c()

    of_c, of_python = (
        trio_rio.run(main, config=RioConfig(provider="uring", engine=engine, results_per_turn=results_per_turn))
        for engine in ("native", "python")
    )
    assert (of_c[2], of_python[2]) == (True, False)
    assert of_c[:2] == of_python[:2]


@pytest.mark.rio_config(results_per_turn=2)
async def test_the_books_balance_after_a_full_batch() -> None:
    """The queue is armed again when the notifier has emptied it."""
    await serve_messages(3, 3)
    await wait_all_tasks_blocked()
    ledger = current_ledger()
    ledger.assert_balanced()
    assert ledger.completion_queues_armed == ledger.completion_queues


async def test_a_readiness_wait_ends_between_packets() -> None:
    """What is no packet of a shared queue is Python's, in the same tick."""
    ours, theirs = stdlib_pair()
    waited, told = socket.socketpair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs, waited, told:
        ended: list[str] = []

        async def wait() -> None:
            await trio.lowlevel.wait_readable(waited)
            ended.append("wait")

        async def receive() -> None:
            ended.append((await RioStream(sock).receive_some()).decode())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            theirs.send(b"bytes")
            told.send(b"x")
        assert sorted(ended) == ["bytes", "wait"]


async def test_a_time_that_is_no_number_is_refused() -> None:
    """As by the method of Python, and nothing was waited for."""
    get_events: Any = GLOBAL_RUN_CONTEXT.runner.io_manager.get_events
    before = trio_rio.current_statistics().commits
    with pytest.raises(TypeError):
        get_events("soon")
    assert trio_rio.current_statistics().commits == before


@pytest.mark.no_ledger("the run is over, and is looked at from outside")
def test_a_run_that_is_over_is_let_go() -> None:
    """Manager and tick refer to each other; the collector of garbage frees both."""

    async def main() -> weakref.ref[Any]:
        await serve_messages(1, 1)
        assert is_in_c()
        manager: Any = GLOBAL_RUN_CONTEXT.runner.io_manager
        return weakref.ref(manager)

    manager = trio_rio.run(main, config=RioConfig(provider="uring"))
    gc.collect()
    assert manager() is None


@pytest.mark.parametrize("name", ["get_events", "process_events"])
async def test_a_method_that_is_changed_within_a_run_is_called(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trio's own tests change the manager's class so, in the middle of a run; and when it is as before, so is all."""
    kind: Any = type(GLOBAL_RUN_CONTEXT.runner.io_manager)
    method, calls = getattr(kind, name), []

    def note(self: object, argument: object) -> object:
        calls.append(argument)
        return method(self, argument)

    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, note)
            for _ in range(3):
                await trio.lowlevel.checkpoint()
            theirs.send(b"x")
            assert await sock.recv(1) == b"x"
        before = len(calls)
        assert before > 3
        theirs.send(b"y")
        assert await sock.recv(1) == b"y"
        assert len(calls) == before
