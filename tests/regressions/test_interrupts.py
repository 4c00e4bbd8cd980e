"""Ctrl-C inside a call of a socket: what went wrong once.

A KeyboardInterrupt between two steps of ours leaves a task that waits for nothing, or a socket that is closed by half.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio._engine.channel import Channel
from trio_rio._engine.lease import LeaseBook
from trio_rio._engine.send_window import SendWindow
from trio_rio._sockets.destinations import Destinations

from ..engine.harness import fill, open_pair, python, stdlib_pair, udp_socket, until_sent
from ..platforms import needs_full_buffers, needs_interrupts, needs_recvmsg

Record = Callable[..., list[bool]]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Record:
    """Wrap a function, and list for each call of it whether KeyboardInterrupt would be put off there."""

    def wrap(owner: object, name: str) -> list[bool]:
        seen: list[bool] = []
        real = getattr(owner, name)

        def wrapped(*args: Any) -> Any:
            seen.append(trio.lowlevel.currently_ki_protected())
            return real(*args)

        monkeypatch.setattr(owner, name, wrapped)
        return seen

    return wrap


def close(sock: trio.socket.SocketType) -> None:
    sock.close()


def leave(sock: trio.socket.SocketType) -> None:
    with sock:
        pass


def detach(sock: trio.socket.SocketType) -> None:
    number = sock.detach()
    trio.socket.socket(fileno=number).close()


@pytest.mark.parametrize("end", [close, leave, detach])
async def test_no_interrupt_comes_inside_a_close(end: Callable[[Any], None], record: Record) -> None:
    """Whatever closes a socket ends its channel whole before a KeyboardInterrupt is raised."""
    async with open_pair() as (sock, _):
        await sock.send(b"x")
        await until_sent()
        seen = record(Channel, "close")
        end(sock)
        assert seen == [True]


@pytest.mark.rio_config(cancellation="detach")
async def test_no_interrupt_comes_inside_a_shutdown(record: Record) -> None:
    """A shutdown is done, or put off, before a KeyboardInterrupt is raised."""
    async with open_pair() as (sock, _):
        await sock.send(b"x")
        seen = record(SendWindow, "shutdown")
        sock.shutdown(trio.socket.SHUT_WR)
        assert seen == [True]


async def assert_protected(record: Record, call: Callable[..., Awaitable[object]], *args: object) -> None:
    """A task waits in the call, and was protected when it began to."""
    seen = record(trio.lowlevel, "wait_task_rescheduled")

    async def wait() -> None:
        await call(*args)
        raise AssertionError("the call did not wait")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert seen
        assert all(seen)
        nursery.cancel_scope.cancel()


@needs_recvmsg
@pytest.mark.parametrize("args", [("recvmsg", 10), ("recvmsg_into", [bytearray(10)])], ids=["recvmsg", "recvmsg_into"])
@pytest.mark.rio_config(cancellation="detach")
async def test_no_interrupt_comes_before_a_receive_waits(args: tuple[str, object], record: Record) -> None:
    """A task that is written down as the reader waits before a KeyboardInterrupt is raised."""
    async with open_pair() as (sock, peer):
        await peer.send(b"x")
        await sock.recv(1)
        await assert_protected(record, getattr(sock, args[0]), args[1])


@needs_full_buffers
@pytest.mark.parametrize("args", [("wait_writable",), ("sendmsg", [b"x"])], ids=["wait_writable", "sendmsg"])
@pytest.mark.rio_config(cancellation="detach", send_window_bytes=1000, linger_seconds=0.0)
async def test_no_interrupt_comes_before_a_send_waits(args: tuple[object, ...], record: Record) -> None:
    """A task that is written down as one that waits for the window waits before a KeyboardInterrupt is raised."""
    name, *rest = args
    if name == "sendmsg" and not hasattr(trio.socket.SocketType, "sendmsg"):
        pytest.skip("the sockets of this system have no sendmsg")
    ours, theirs = stdlib_pair()
    with theirs, trio.socket.from_stdlib_socket(ours) as sock:
        fill(ours)
        await sock.send(bytes(1000))
        await assert_protected(record, getattr(sock, str(name)), *rest)


@pytest.mark.parametrize("kind", ["stream", "channel"])
async def test_no_interrupt_comes_inside_aclose(kind: str, record: Record) -> None:
    """A stream, or a datagram channel, is closed whole, leases and all, before a KeyboardInterrupt is raised."""
    sock = trio.socket.socket(type=trio.socket.SOCK_STREAM if kind == "stream" else trio.socket.SOCK_DGRAM)
    await sock.bind(("127.0.0.1", 0))
    seen = record(LeaseBook, "end_those_of")
    await (trio_rio.RioStream(sock) if kind == "stream" else trio_rio.DatagramChannel(sock)).aclose()
    assert seen == [True]


# Interrupts a main task before each of its instructions in turn, and counts how its runs end.
INTERRUPTED = """
import collections, ctypes, gc, signal, sys, warnings
import trio

provider = sys.argv[1]
run = trio.run
if provider != "stock":
    import trio_rio
    run = lambda main: trio_rio.run(main, config=trio_rio.RioConfig(provider=provider))

# As a trace function: Python's handler of SIGINT runs at the next instruction that looks for signals.
interrupt = ctypes.PYFUNCTYPE(None, *[ctypes.py_object] * 3)(("PyErr_SetInterrupt", ctypes.pythonapi))


async def echo(stream):
    async for data in stream:
        await stream.send_all(data)


async def main():
    async with trio.open_nursery() as outer:
        listeners = await outer.start(trio.serve_tcp, echo, 0)
        port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as inner:
            inner.start_soon(trio.sleep, 0)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"x")
                await stream.receive_some(1)
        outer.cancel_scope.cancel()


def leaves(error):
    inner = getattr(error, "exceptions", None)
    return [error] if inner is None else [leaf for one in inner for leaf in leaves(one)]


def interrupted_before(number):
    count, of_trio = 0, None

    def trace(frame, event, _):
        nonlocal count
        count += event == "opcode"
        return interrupt if count == number else trace

    def begin(frame, event, _):  # and go on, each time that the task is resumed
        nonlocal of_trio
        if frame.f_code is not main.__code__:
            return None
        if of_trio is None:
            frame.f_trace_opcodes = True
            of_trio = signal.signal(signal.SIGINT, once)
        return trace

    def once(_, interrupted):
        sys.settrace(None)
        while interrupted is not None and interrupted.f_code is not main.__code__:
            interrupted = interrupted.f_back
        if interrupted is not None:
            interrupted.f_trace = None
        of_trio(signal.SIGINT, sys._getframe(1))

    sys.settrace(begin)
    try:
        run(main)
        return "returned" if count >= number else None  # it has no more instructions
    except BaseException as error:
        assert count >= number, error
        return " ".join(sorted({f"{type(leaf).__name__}: {leaf}"[:40] for leaf in leaves(error)}))
    finally:
        sys.settrace(None)
        signal.signal(signal.SIGINT, signal.default_int_handler)


warnings.simplefilter("ignore")
sys.unraisablehook = lambda _: None
ends = collections.Counter()
number = 1
while (end := interrupted_before(number)) is not None:
    ends[end] += 1
    number += 1
    gc.collect()
print(sorted(ends.items()))
"""


@needs_interrupts
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="about the instructions of CPython")
def test_an_interrupt_ends_a_run_as_on_stock_trio(rio_provider: str) -> None:
    """Whatever instruction of the main task Ctrl-C comes before, a run ends as it does on stock Trio."""
    ends = {name: python(INTERRUPTED, name, provider=rio_provider).stdout for name in ("stock", rio_provider)}
    assert "KeyboardInterrupt" in ends["stock"]
    assert ends[rio_provider] == ends["stock"]


@pytest.mark.parametrize("name", ["known", "address_of"])
async def test_no_interrupt_comes_inside_a_datagram(name: str, record: Record) -> None:
    """A destination is looked up, and a datagram taken, before a KeyboardInterrupt is raised: none gets lost."""
    ours, theirs = await udp_socket(), await udp_socket()
    with ours, theirs:
        address = theirs.getsockname()
        for _ in range(5):  # the destination is remembered by then
            await ours.sendto(b"x", address)
            assert await theirs.recvfrom(10) == (b"x", ours.getsockname())
        seen = record(Destinations if name == "known" else Channel, name)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(theirs.recvfrom, 10)
            await wait_all_tasks_blocked()
            await ours.sendto(bytearray(b"x"), address)  # the engine in C looks up those of bytes itself
        assert seen
        assert all(seen)
