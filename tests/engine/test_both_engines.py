"""What Trio's tools and this package's own tell of calls is the same, whichever engine serves them.

Each test is run with the engine in C and with the engine in Python, which is the reference. What calls do is the
matter of the tests beside this one; here it is what others see of them: warnings, tracebacks, interrupts, instruments,
guest runs, forked children, the books.
"""

from __future__ import annotations

import collections
import contextlib
import queue
import signal
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import attrs
import outcome
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio import RioConfig, RioStream
from trio_rio._engine.channel import Channel
from trio_rio._engine.fields import native
from trio_rio._streams.base import StreamOnSocket
from trio_rio.testing import assert_ledger_balanced, current_ledger

from ..platforms import RESET_AT_CLOSE, needs_fork, needs_interrupts
from .harness import PATIENCE_SECONDS, fill, stdlib_pair
from .test_fork import drive, in_child

Call: TypeAlias = Callable[[], Awaitable[object]]

needs_native = pytest.mark.skipif(native is None, reason="there is no engine in C")

pytestmark = [
    pytest.mark.providers("uring"),
    pytest.mark.parametrize(
        "engine",
        [
            pytest.param("native", marks=[needs_native, pytest.mark.rio_config(engine="native")]),
            pytest.param("python", marks=pytest.mark.rio_config(engine="python")),
        ],
    ),
]

# The calls that begin in C, by name: those of a stream, and those of its socket.
CALLS: dict[str, Callable[[RioStream], Call]] = {
    "receive_some": lambda stream: lambda: stream.receive_some(10),
    "send_all": lambda stream: lambda: stream.send_all(b"x" * 1000),
    "recv": lambda stream: lambda: stream.socket.recv(10),
    "send": lambda stream: lambda: stream.socket.send(b"x" * 1000),
}
each_call = pytest.mark.parametrize("name", CALLS)


def is_send(name: str) -> bool:
    return name in ("send", "send_all")


@contextlib.asynccontextmanager
async def stream_and_peer(*, is_full: bool = False) -> AsyncIterator[tuple[RioStream, socket.socket]]:
    """A stream that has its channel and has been used, and its peer, a blocking socket; sends wait if it is full."""
    ours, theirs = stdlib_pair()
    with ours.dup() as copy, theirs:
        async with RioStream(trio.socket.from_stdlib_socket(ours)) as stream:
            await stream.send_all(b"x")
            theirs.sendall(b"x" + theirs.recv(1))
            assert await stream.receive_some() == b"xx"  # less than was asked for, so that little seems to come
            if is_full:
                fill(copy)
                with trio.move_on_after(0):
                    await stream.send_all(bytes(1000))
            yield stream, theirs


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    sock.close()


def lines_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


# ----------------------------------------------------------------------------------------------------------
# Warnings and tracebacks
# ----------------------------------------------------------------------------------------------------------


@each_call
async def test_a_call_that_is_never_awaited_warns(engine: str, name: str) -> None:
    """By its full name, as the coroutine of an async function does."""
    owner = "RioStream" if name in ("receive_some", "send_all") else "RioSocket"
    async with stream_and_peer() as (stream, _):
        calls: list[Any] = [CALLS[name](stream)()]
        with pytest.warns(RuntimeWarning, match=rf"^coroutine '{owner}\.{name}' was never awaited"):
            calls.clear()


async def failure_of(call: Call, cause: Callable[[], object]) -> BaseException:
    """What a call raises that waits when something happens; cancellation has its way afterwards."""
    errors: list[BaseException] = []

    async def wait() -> None:
        try:
            await call()
        except BaseException as error:
            errors.append(error)
            if isinstance(error, trio.Cancelled):
                raise

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            assert not errors
            if (scope := cause()) == "cancel":
                nursery.cancel_scope.cancel()
            del scope
    (error,) = errors
    return error


@each_call
@pytest.mark.parametrize("cause", ["reset", "close", "notify_closing", "cancel"])
async def test_a_traceback_names_the_call(engine: str, name: str, cause: str) -> None:
    """Whatever ends a call that waits, its name is in the traceback, and the error is that of Trio's own streams."""
    async with stream_and_peer(is_full=is_send(name)) as (stream, theirs):
        causes: dict[str, Callable[[], object]] = {
            "reset": lambda: reset(theirs),
            "close": stream.socket.close,
            "notify_closing": lambda: trio.lowlevel.notify_closing(stream.socket),
            "cancel": lambda: "cancel",
        }
        error = await failure_of(CALLS[name](stream), causes[cause])
        of_socket = ConnectionResetError if name in ("recv", "send") else trio.BrokenResourceError
        expected = {"reset": of_socket, "cancel": trio.Cancelled}.get(cause, trio.ClosedResourceError)
        assert type(error) is expected
        assert f"in {name}\n" in lines_of(error)
        if expected is trio.BrokenResourceError:
            assert isinstance(error.__cause__, ConnectionResetError)


@each_call
async def test_a_traceback_names_the_call_that_fails_at_once(engine: str, name: str) -> None:
    """The same where a call finds the connection broken when it begins."""
    async with stream_and_peer() as (stream, theirs):
        theirs.sendall(b"unread")
        reset(theirs)
        with pytest.raises((trio.BrokenResourceError, ConnectionError)) as caught:
            while True:  # what came before the reset comes first; a send may still be taken
                await CALLS[name](stream)()
        assert f"in {name}\n" in lines_of(caught.value)


@each_call
async def test_the_stack_of_a_task_that_waits(engine: str, name: str) -> None:
    """It ends where the task awaits the call, or inside the coroutine that does it; but not at something else."""
    async with stream_and_peer(is_full=is_send(name)) as (stream, _), trio.open_nursery() as nursery:

        async def wait() -> None:
            await CALLS[name](stream)()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        (task,) = nursery.child_tasks
        frames = [frame.f_code.co_name for frame, _ in task.iter_await_frames()]
        nursery.cancel_scope.cancel()
    assert frames[0] == "wait"
    assert frames[1:2] == ([] if engine == "native" else [name])


# ----------------------------------------------------------------------------------------------------------
# Interrupts
# ----------------------------------------------------------------------------------------------------------


@needs_interrupts
@each_call
async def test_an_interrupt_reaches_a_main_task_that_waits(engine: str, name: str) -> None:
    """KeyboardInterrupt is raised in the call, which takes nothing and leaves the stream usable."""
    async with stream_and_peer(is_full=is_send(name)) as (stream, theirs), trio.open_nursery() as nursery:

        @trio.lowlevel.enable_ki_protection
        async def interrupt() -> None:
            await wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGINT)

        nursery.start_soon(interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            await CALLS[name](stream)()
        assert f"in {name}\n" in lines_of(caught.value)
        theirs.sendall(b"after")
        assert await stream.receive_some(10) == b"after"
        assert current_ledger().requests_in_flight == 0


@needs_interrupts
@each_call
async def test_an_interrupt_before_a_call_stops_it(engine: str, name: str) -> None:
    """One that was put off is raised by the call, which then has neither sent nor taken anything."""
    async with stream_and_peer() as (stream, theirs):
        theirs.sendall(b"kept")

        @trio.lowlevel.enable_ki_protection
        async def call_when_interrupted() -> None:
            signal.raise_signal(signal.SIGINT)
            await CALLS[name](stream)()

        with pytest.raises(KeyboardInterrupt):
            await call_when_interrupted()
        assert await stream.receive_some(10) == b"kept"
        await stream.send_all(b"end")
        assert theirs.recv(2000) == b"end"


@pytest.fixture
def protections(monkeypatch: pytest.MonkeyPatch) -> Callable[[type, str], list[bool]]:
    """Wrap a method, and list for each call whether KeyboardInterrupt would be put off there."""

    def wrap(owner: type, name: str) -> list[bool]:
        seen: list[bool] = []
        real = getattr(owner, name)

        def wrapped(*args: Any) -> Any:
            seen.append(trio.lowlevel.currently_ki_protected())
            return real(*args)

        monkeypatch.setattr(owner, name, wrapped)
        return seen

    return wrap


@pytest.mark.parametrize("name", ["receive_some", "recv"])
async def test_no_interrupt_comes_while_bytes_are_taken(
    engine: str, name: str, protections: Callable[[type, str], list[bool]]
) -> None:
    """Between the bytes and the end of their request, where they would be lost."""
    async with stream_and_peer() as (stream, theirs):
        seen = protections(Channel, "note_received")
        theirs.sendall(bytes(10))  # as many as are asked for
        assert await CALLS[name](stream)() == bytes(10)
        assert seen == [True]


async def test_no_interrupt_comes_while_the_rest_is_sent(
    engine: str, protections: Callable[[type, str], list[bool]]
) -> None:
    """Where the mark of the task that sends would stay."""
    async with stream_and_peer() as (stream, _):
        seen = protections(StreamOnSocket, "_find_channel")
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with trio.move_on_after(0.05):
            while True:
                await stream.send_all(bytes(60_000))
        assert seen
        assert all(seen)
        assert not stream._is_sending


# ----------------------------------------------------------------------------------------------------------
# Instruments, guests, children
# ----------------------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Watch(trio.abc.Instrument):
    """Counts what instruments are told, by task."""

    steps: collections.Counter[tuple[str, str]] = attrs.field(factory=collections.Counter)
    waits: list[str] = attrs.field(factory=list)

    def task_scheduled(self, task: trio.lowlevel.Task) -> None:
        self.steps["scheduled", task.name] += 1

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps["before", task.name] += 1

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps["after", task.name] += 1

    def before_io_wait(self, timeout: float) -> None:
        self.waits.append("before")

    def after_io_wait(self, timeout: float) -> None:
        self.waits.append("after")


async def play() -> Watch:
    """A program whose tasks take the same steps each time; what an instrument was told of them."""
    watch = Watch()
    ours, theirs = stdlib_pair()
    first, second = (RioStream(trio.socket.from_stdlib_socket(sock)) for sock in (ours, theirs))

    async def answer() -> None:
        while data := await second.receive_some(100):
            await second.send_all(data)

    async def ask() -> None:
        for _ in range(20):
            await first.send_all(b"x" * 50)
            assert await first.receive_some(100) == b"x" * 50
        with trio.move_on_after(0):
            await first.receive_some()
        await first.send_eof()

    async with first, second, trio.open_nursery() as nursery:
        trio.lowlevel.add_instrument(watch)
        nursery.start_soon(answer, name="answer")
        nursery.start_soon(ask, name="ask")
    trio.lowlevel.remove_instrument(watch)
    return watch


async def test_instruments_are_told_the_same(engine: str, rio_provider: str) -> None:
    """Tasks are scheduled and take steps as often, and each wait has a beginning and an end."""
    config = RioConfig(provider=rio_provider, engine="python")
    watch, expected = await play(), await trio.to_thread.run_sync(lambda: trio_rio.run(play, config=config))
    of_tasks, of_reference = (
        {key: count for key, count in each.steps.items() if key[1] in ("ask", "answer")} for each in (watch, expected)
    )
    assert of_tasks == of_reference
    assert of_tasks["scheduled", "ask"] == of_tasks["before", "ask"] == of_tasks["after", "ask"] > 40
    assert watch.waits == ["before", "after"] * (len(watch.waits) // 2)


def test_a_guest_run(engine: str, rio_provider: str) -> None:
    """Streams are served in a run that is a guest, message by message."""
    todo: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    results: list[outcome.Outcome[str]] = []

    async def main() -> str:
        async with stream_and_peer() as (stream, theirs):
            for number in range(100):
                await stream.send_all(b"%d" % number)
                theirs.sendall(theirs.recv(10))
                assert await stream.receive_some() == b"%d" % number
        return trio_rio.current_statistics().engine

    trio_rio.start_guest_run(
        main,
        run_sync_soon_threadsafe=todo.put,
        done_callback=results.append,
        config=RioConfig(provider=rio_provider, engine=engine),  # type: ignore[arg-type]
    )
    while not results:
        todo.get(timeout=PATIENCE_SECONDS)()
    assert results[0].unwrap() == engine


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@each_call
async def test_a_forked_child_is_refused(engine: str, name: str) -> None:
    """A call on a stream of the parent's run raises RioError or RuntimeError in the child, and nothing is sent."""
    async with stream_and_peer() as (stream, theirs):
        theirs.sendall(b"parent's")

        def use() -> None:
            with pytest.raises((trio_rio.RioError, RuntimeError)):
                drive(CALLS[name](stream)())

        assert in_child(use) == 0
        assert await stream.receive_some(20) == b"parent's"
        await stream.send_all(b"end")
        assert theirs.recv(2000) == b"end"
        assert_ledger_balanced()


# ----------------------------------------------------------------------------------------------------------
# The books
# ----------------------------------------------------------------------------------------------------------


async def books() -> tuple[dict[str, object], dict[str, object]]:
    """The ledger and the statistics in the middle of some traffic, as far as time has no say in them.

    How much was posted and completed is none of them: what the engine in C finds there at once makes no request.
    """
    async with stream_and_peer(is_full=True) as (full, _), stream_and_peer() as (stream, theirs):
        for number in range(30):
            theirs.sendall(b"x" * (number + 1))
            await stream.receive_some(30)
            await stream.send_all(b"y" * (number + 1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.receive_some)
            nursery.start_soon(full.send_all, b"x" * 100)
            await wait_all_tasks_blocked()
            ledger, numbers = attrs.asdict(current_ledger()), trio_rio.current_statistics()
            del ledger["requests_used"]
            nursery.cancel_scope.cancel()
    in_flight = "receives_in_flight", "sends_in_flight", "tasks_waiting_read", "tasks_waiting_write"
    wanted = *in_flight, "leases_outstanding", "sockets_open", "registered_bytes"
    return ledger, {name: getattr(numbers, name) for name in wanted}


async def test_the_books_are_the_same(engine: str, rio_provider: str) -> None:
    """Ledger and statistics count what the engine in Python counts for the same program."""
    ledger, numbers = await books()
    config = RioConfig(provider=rio_provider, engine="python")
    expected = await trio.to_thread.run_sync(lambda: trio_rio.run(books, config=config))
    assert (ledger, numbers) == expected
    assert (numbers["receives_in_flight"], numbers["sends_in_flight"]) == (1, 1)


async def test_leases_and_calls_take_turns(engine: str) -> None:
    """Leases and receives on one stream get the bytes in order, and the books count what is lent."""
    async with stream_and_peer() as (stream, theirs):
        for number in range(20):
            data = bytes(range(number, number + 10))
            theirs.sendall(data)
            if number % 2:
                assert await stream.receive_some(20) == data
                continue
            async with stream.receive_lease() as view:
                assert bytes(view) == data
                assert current_ledger().requests_leased == 1
                theirs.sendall(b"beside")
                assert await stream.receive_some(20) == b"beside"
        assert current_ledger().requests_leased == 0
