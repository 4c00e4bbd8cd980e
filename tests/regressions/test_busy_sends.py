"""When a send is in the way of another call: only if it has to wait, as on stock Trio."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_rio import RioStream
from trio_rio.testing import assert_ledger_balanced

from ..engine.harness import PATIENCE_SECONDS, WAYS_OPTIONS, fill, open_pair, receive_exactly, send_all, stdlib_pair
from ..platforms import needs_full_buffers

WAYS = pytest.mark.parametrize(
    "way",
    ["port", *(pytest.param(way, marks=pytest.mark.rio_config(**options)) for way, options in WAYS_OPTIONS.items())],
)

# Where it can be known whether a send has to wait.
in_both_modes = pytest.mark.parametrize(
    "mode", ["request", pytest.param("detach", marks=pytest.mark.rio_config(cancellation="detach"))]
)
can_tell = pytest.mark.providers("uring", "portable")


# Longer than the peer's system delays an acknowledgement, which may make room once more.
SETTLED_SECONDS = 0.05


def full_pair() -> tuple[trio.socket.SocketType, socket.socket, int]:
    """A socket that takes no more, its peer, which blocks, and how many bytes are in between."""
    ours, theirs = stdlib_pair()
    theirs.settimeout(PATIENCE_SECONDS)
    count = fill(ours)
    more = count
    while more:
        time.sleep(SETTLED_SECONDS)
        count += (more := fill(ours))
    return trio.socket.from_stdlib_socket(ours), theirs, count


def drain(peer: socket.socket, count: int) -> None:
    """Take so many bytes, without a tick of the run."""
    while count:
        count -= len(peer.recv(min(count, 1 << 20)))


async def rest_of(peer: socket.socket, count: int) -> bytes:
    """So many bytes more; the peer is done with."""
    with trio.socket.from_stdlib_socket(peer) as sock:
        return await receive_exactly(sock, count)


def calls_that_send(sock: trio.socket.SocketType) -> dict[str, Callable[[], Awaitable[object]]]:
    """Calls that wait for a full socket: to send, and for writability."""
    return {
        "send": lambda: sock.send(b"x"),
        "send_all": lambda: RioStream(sock).send_all(b"x"),
        "sendmsg": lambda: sock.sendmsg([b"x"]),
        "wait_writable": sock.wait_writable,
        "lowlevel": partial(trio.lowlevel.wait_writable, sock),
    }


@WAYS
@in_both_modes
async def test_tasks_that_send_on_a_socket_with_room_are_never_busy(mode: str, way: str) -> None:
    """However many they are, and however often."""
    async with open_pair() as (sock, peer):

        async def send() -> None:
            for _ in range(5):
                assert await sock.send(b"x") == 1

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(send)
            assert await receive_exactly(peer, 100) == b"x" * 100
    assert_ledger_balanced()


@in_both_modes
async def test_threads_that_send_on_a_socket_with_room_are_never_busy(mode: str) -> None:
    """Their sends come in whatever tick of the run."""
    async with open_pair() as (sock, peer):

        def send() -> None:
            for _ in range(20):
                assert trio.from_thread.run(sock.send, b"x") == 1

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(trio.to_thread.run_sync, send)
            assert await receive_exactly(peer, 80) == b"x" * 80


@in_both_modes
async def test_sends_of_many_tasks_go_out_in_the_order_of_the_calls(mode: str) -> None:
    """Also when there are more than a socket has requests for."""
    called = bytearray()
    async with open_pair() as (sock, peer):
        await sock.send(b"-")  # its channel is there

        async def send(number: int) -> None:
            called.append(number)
            await sock.send(bytes([number]))

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(send, number)
            assert await receive_exactly(peer, 51) == b"-" + called


@can_tell
@in_both_modes
async def test_a_send_with_flags_does_not_overtake(mode: str) -> None:
    """It goes Trio's own way, after what was sent before."""
    called = bytearray()
    async with open_pair() as (sock, peer):
        await sock.send(b"-")

        async def send(number: int) -> None:
            called.append(number)
            await sock.send(bytes([number]), socket.MSG_DONTROUTE if number % 2 else 0)

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for number in range(6):
                    nursery.start_soon(send, number)
            assert sorted(await receive_exactly(peer, 7)) == sorted(b"-" + called)


@can_tell
@needs_full_buffers
async def test_a_send_is_busy_while_another_one_has_to_wait() -> None:
    """The second fails, also in the same tick; the first goes on."""
    sock, peer, count = full_pair()
    outcomes: list[str] = []

    async def send() -> None:
        try:
            await sock.send(b"x")
        except trio.BusyResourceError:
            outcomes.append("busy")
        else:
            outcomes.append("sent")

    with sock, peer, trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            assert outcomes == ["busy"]
            with pytest.raises(trio.BusyResourceError):
                await RioStream(sock).send_all(b"x")
            drain(peer, count)
    assert outcomes == ["busy", "sent"]


@can_tell
@needs_full_buffers
@pytest.mark.rio_config(cancellation="detach", send_window_bytes=1)
async def test_a_send_is_busy_while_another_one_waits_for_room_in_a_window() -> None:
    """The socket takes no more: as without a window."""
    sock, peer, count = full_pair()
    with sock, peer, trio.fail_after(PATIENCE_SECONDS):
        assert await sock.send(b"1") == 1  # in flight: the window is full
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sock.send, b"2")
            await wait_all_tasks_blocked()
            for call in calls_that_send(sock).values():
                with pytest.raises(trio.BusyResourceError):
                    await call()
            drain(peer, count)
        assert await rest_of(peer, 2) == b"12"


@can_tell
@needs_full_buffers
async def test_a_send_that_has_room_again_is_not_in_the_way() -> None:
    """The task that waited has not run since: the next send is taken, behind it."""
    sock, peer, count = full_pair()
    with sock, peer, trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sock.send, b"1")
            await wait_all_tasks_blocked()
            drain(peer, count)  # in this very step
            nursery.start_soon(sock.send, b"2")
            assert await sock.send(b"3") == 1
        assert await rest_of(peer, 3) in (b"123", b"132")


@can_tell
@needs_full_buffers
@in_both_modes
async def test_a_cancelled_send_is_not_in_the_way(mode: str) -> None:
    """From the moment of the cancellation on: the next send waits for room, and sends."""
    sock, peer, count = full_pair()
    scope = trio.CancelScope()

    async def send() -> None:
        with scope:
            await sock.send(b"1")

    with sock, peer, trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            scope.cancel()
            nursery.start_soon(sock.wait_writable)  # is not busy, or in the way, together with the next two lines
            await wait_all_tasks_blocked()
            drain(peer, count)
        assert await sock.send(b"2") == 1
        rest = await rest_of(peer, 2 if mode == "detach" else 1)
    assert rest == (b"12" if mode == "detach" else b"2")


@can_tell
@needs_full_buffers
async def test_a_send_after_a_cancelled_one_waits_in_the_same_step() -> None:
    """It is not busy; nothing of the cancelled one is sent."""
    sock, peer, count = full_pair()
    scope = trio.CancelScope()

    async def send() -> None:
        with scope:
            await sock.send(b"1")

    async def cancel_and_send() -> None:
        scope.cancel()
        assert await sock.send(b"2") == 1

    with sock, peer, trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            nursery.start_soon(cancel_and_send)
            await wait_all_tasks_blocked()
            drain(peer, count)
        peer.setblocking(False)
        assert peer.recv(2) == b"2"
    assert scope.cancelled_caught


@can_tell
@needs_full_buffers
@pytest.mark.parametrize("first", ["send", "send_all", "sendmsg", "wait_writable", "lowlevel"])
@pytest.mark.parametrize("second", ["send", "send_all", "sendmsg", "wait_writable", "lowlevel"])
async def test_of_two_calls_that_would_wait_for_a_full_socket_the_second_is_busy(first: str, second: str) -> None:
    """Whichever they are. The first ends when there is room."""
    sock, peer, count = full_pair()
    calls = calls_that_send(sock)
    with sock, peer, trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(calls[first])
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await calls[second]()
            drain(peer, count)
    assert_ledger_balanced()


@can_tell
@in_both_modes
async def test_a_send_that_need_not_wait_goes_past_a_wait_for_writability(mode: str) -> None:
    """And the other way round; on stock Trio neither is in the way of the other."""
    async with open_pair() as (sock, peer):
        await sock.send(b"-")
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(sock.send, b"x")
                await trio.lowlevel.wait_writable(sock)
                nursery.start_soon(trio.lowlevel.wait_writable, sock)
                await trio.lowlevel.checkpoint()
                assert await sock.send(b"x") == 1
            assert await receive_exactly(peer, 5) == b"-xxxx"


@can_tell
async def test_sending_fails_as_ever_while_a_task_waits_for_writability() -> None:
    """A send that goes Trio's own way for that reason has the errors of the socket."""
    sock, peer, _ = full_pair()
    with sock:
        peer.close()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.lowlevel.wait_writable, sock)
            await trio.lowlevel.checkpoint()
            with pytest.raises(OSError) as caught:
                for _ in range(3):
                    await sock.send(b"x")
    assert caught.value.errno in (errno.ECONNRESET, errno.EPIPE)


@needs_full_buffers
@in_both_modes
async def test_sending_nothing_minds_nobody(mode: str) -> None:
    """Another task's send has to wait: sending no bytes of a stream has not, and returns at once."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_all, sock, bytes(50_000_000))
            await wait_all_tasks_blocked()
            with trio.fail_after(PATIENCE_SECONDS):
                assert await sock.send(b"") == 0
            nursery.cancel_scope.cancel()


@can_tell
@needs_full_buffers
async def test_a_send_waits_where_the_kernel_has_it() -> None:
    """A send on a full narrow socket may wait in a worker thread of the kernel: a second one is busy all the same."""
    for _ in range(40):
        ours, theirs = stdlib_pair()
        with trio.socket.from_stdlib_socket(ours) as sock, theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_all, sock, bytes(300_000))
                await wait_all_tasks_blocked()
                theirs.sendall(b"abc")
                await wait_all_tasks_blocked()
                theirs.shutdown(socket.SHUT_WR)
                await wait_all_tasks_blocked()
                with pytest.raises(trio.BusyResourceError), trio.move_on_after(PATIENCE_SECONDS):
                    await sock.send(b"x")
                nursery.cancel_scope.cancel()
