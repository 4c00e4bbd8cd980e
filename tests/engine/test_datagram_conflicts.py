"""Who may use a DatagramChannel and its socket at the same time, and from where."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_rio
from trio_rio import DatagramChannel, RioError

from ..conftest import RioRun
from ..platforms import needs_fork
from .datagrams import ALL_CARRIERS, address_of, open_local, open_two, receive_all, stdlib_peer
from .harness import udp_socket

pytestmark = ALL_CARRIERS


def exit_code_of_child(function: Callable[[], object]) -> int:
    """Run a function in a forked child: 0 if it returned."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def test_one_task_receives_at_a_time() -> None:
    """A second one gets BusyResourceError, by a checkpoint, as long as the first waits."""
    async with open_two() as (one, other), trio.open_nursery() as nursery:
        received = []

        async def receive() -> None:
            received.append((await other.receive())[0])

        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        for call in (other.receive, other.receive_many, other.__anext__):
            with assert_checkpoints(), pytest.raises(trio.BusyResourceError):
                await call()
        await one.send(b"first", address_of(other))
        with trio.fail_after(10):
            while not received:  # noqa: ASYNC110, a receive that is posted tells nobody else
                await trio.sleep(0.001)
        assert received == [b"first"]
        await one.send(b"second", address_of(other))
        assert (await other.receive())[0] == b"second"


async def test_any_number_of_tasks_send() -> None:
    """Tasks that send at the same time do not disturb each other, nor one that receives on the same channel."""
    async with open_two() as (one, other):
        seen: list[bytes] = []

        async def send(name: int) -> None:
            for number in range(20):
                await one.send(b"%d %d" % (name, number), address_of(other))
            await one.send_many([(b"%d %d" % (name, number), address_of(other)) for number in range(20, 40)])

        async with trio.open_nursery() as nursery:
            for name in range(10):
                nursery.start_soon(send, name)
            seen += await receive_all(other, 400)
        for name in range(10):
            assert [data for data in seen if data.startswith(b"%d " % name)] == [
                b"%d %d" % (name, n) for n in range(40)
            ]


async def test_a_socket_in_use_is_refused(mode: str) -> None:
    """A socket on which a task receives cannot become a channel; the error says what to do."""
    if mode == "plain":
        pytest.skip("without memory nothing is posted on the socket")
    with await udp_socket() as sock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sock.recvfrom, 10)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError, match="before you use its socket"):
                DatagramChannel(sock)
            nursery.cancel_scope.cancel()


async def test_a_socket_that_was_used_becomes_a_channel(mode: str) -> None:
    """A Trio socket that has sent and received already can be given to a channel, where it has nothing posted."""
    if mode == "detach":
        pytest.skip("there a receive stays posted")
    with stdlib_peer() as peer:
        sock = await udp_socket()
        await sock.sendto(b"out", peer.getsockname())
        assert peer.recv(10) == b"out"
        peer.sendto(b"in", sock.getsockname())
        assert await sock.recvfrom(10) == (b"in", peer.getsockname())
        async with DatagramChannel(sock) as channel:
            peer.sendto(b"more", sock.getsockname())
            assert await channel.receive() == (b"more", peer.getsockname())


async def test_the_socket_of_a_channel_can_send() -> None:
    """The other methods of the Trio socket work beside the channel."""
    async with open_two() as (one, other):
        assert await one.socket.sendto(b"by the socket", address_of(other)) == 13
        assert (await other.receive())[0] == b"by the socket"
        await one.socket.connect(address_of(other))
        await one.send(b"connected")
        assert await other.receive() == (b"connected", address_of(one))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), TypeError),
        (lambda: trio.socket.socket(), ValueError),
        (lambda: None, TypeError),
    ],
)
async def test_other_sockets_are_refused(make: Callable[[], trio.socket.SocketType], kind: type[Exception]) -> None:
    """A channel needs a Trio datagram socket over IPv4 or IPv6."""
    sock = make()
    try:
        with pytest.raises(kind, match="DatagramChannel needs"):
            DatagramChannel(sock)
    finally:
        if sock is not None:
            sock.close()


@pytest.mark.parametrize("name", ["receives_posted", "receive_size_bytes"])
async def test_numbers_that_make_no_sense_are_refused(name: str) -> None:
    """Each number has its bounds, and the error names them."""
    with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for value in (0, -1, 65536):
            with pytest.raises(ValueError, match=f"{name} must be within 1 .."):
                DatagramChannel(sock, **{name: value})
        for wrong in (1.5, "1", None, True):
            with pytest.raises(TypeError, match=f"{name} must be an integer"):
                DatagramChannel(sock, **{name: wrong})  # type: ignore[arg-type]


async def test_another_run_is_refused() -> None:
    """While its run goes on, a channel is used and closed in that run only; the error says so."""
    errors: list[BaseException] = []

    async def use(channel: DatagramChannel) -> None:
        for call in (channel.receive, channel.aclose):
            with assert_checkpoints(), pytest.raises(RioError, match="another run") as caught:
                await call()
            errors.append(caught.value)

    async with open_two() as (one, other):
        if other.statistics().provider is None:
            pytest.skip("a plain channel belongs to no run")
        thread = threading.Thread(target=trio.run, args=(use, other))
        thread.start()
        await trio.to_thread.run_sync(thread.join)
        assert len(errors) == 2
        await one.send(b"x", address_of(other))
        assert (await other.receive())[0] == b"x"


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
async def test_a_forked_child_leaves_the_channel_alone() -> None:
    """A child that drops its copy of the channel disturbs neither the channel nor its datagrams."""
    async with open_two() as (one, other):

        def drop() -> None:
            other.socket.close()
            other._end_queue()

        assert exit_code_of_child(drop) == 0
        await one.send_many([(b"%d" % number, address_of(other)) for number in range(100)])
        assert await receive_all(other, 100) == [b"%d" % number for number in range(100)]


def test_a_guest_run_has_channels(rio_run: RioRun) -> None:
    """In a guest run datagrams come, and a host callback that cancels a receive takes effect at once."""
    config = rio_run.keywords["config"]  # type: ignore[attr-defined]
    done: list[object] = []
    todo: list[Callable[[], object]] = []
    wake = threading.Semaphore(0)

    def soon(function: Callable[[], object]) -> None:
        todo.append(function)
        wake.release()

    async def main() -> str:
        async with open_two() as (one, other):
            for _ in range(20):
                await one.send_many([(b"%d" % number, address_of(other)) for number in range(100)])
                assert await receive_all(other, 100) == [b"%d" % number for number in range(100)]
            with trio.CancelScope() as scope:
                soon(scope.cancel)
                await other.receive()
            await one.send(b"last", address_of(other))
            assert (await other.receive())[0] == b"last"
        return "done"

    trio_rio.start_guest_run(main, run_sync_soon_threadsafe=soon, done_callback=done.append, config=config)
    while not done:
        assert wake.acquire(timeout=30)
        todo.pop(0)()
    assert done[0].unwrap() == "done"  # type: ignore[attr-defined]


def test_stock_trio_has_channels() -> None:
    """In a run of Trio itself a channel works too, and says that RIO does not serve it."""

    async def main() -> None:
        async with open_two(receive_size_bytes=100) as (one, other):
            assert other.statistics().provider is None
            await one.send_many([(b"%d" % number, address_of(other)) for number in range(200)])
            assert await receive_all(other, 200) == [b"%d" % number for number in range(200)]
            with trio.move_on_after(0.01) as scope:
                await other.receive()
            assert scope.cancelled_caught
            async with trio.open_nursery() as nursery:
                nursery.start_soon(other.receive)
                await wait_all_tasks_blocked()
                await one.send(b"x", address_of(other))

    trio.run(main)


async def test_a_second_receiver_takes_nothing_from_the_first() -> None:
    """BusyResourceError also when a datagram has come, and the task that waits has not run since then."""
    async with await open_local() as channel, trio.open_nursery() as nursery:
        received = []

        async def receive() -> None:
            received.append((await channel.receive())[0])

        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        with stdlib_peer() as peer:
            peer.sendto(b"x", address_of(channel))
            with pytest.raises(trio.BusyResourceError):
                await channel.receive()
    assert received == [b"x"]


@pytest.mark.parametrize("name", ["detach", "dup"])
async def test_the_socket_has_no_other_handle(name: str) -> None:
    """A channel that RIO serves keeps its socket for itself: another handle would miss datagrams."""
    async with open_two() as (one, other):
        if other.statistics().provider is None:
            pytest.skip("a plain channel takes nothing ahead")
        with pytest.raises(OSError, match="DatagramChannel"):
            getattr(other.socket, name)()
        await one.send(b"x", address_of(other))
        assert (await other.receive())[0] == b"x"
