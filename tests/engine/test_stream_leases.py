"""Leases on streams: what is promised of them, and what each misuse meets. The memory itself is in test_lease.py."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_rio
from trio_rio import RioConfig, RioStream
from trio_rio.testing import current_ledger

from ..conftest import RioRun
from .harness import BOTH_MODES, numbered, scaled, tcp_pair

pytestmark = BOTH_MODES


async def streams() -> tuple[RioStream, RioStream]:
    client, server = await tcp_pair()
    return RioStream(client), RioStream(server)


def leased_requests() -> int:
    return current_ledger().requests_leased


# ----------------------------------------------------------------------------------------------------------
# Receiving
# ----------------------------------------------------------------------------------------------------------


async def test_a_lease_shows_what_came() -> None:
    """The view has the bytes that a receive would bring, is writable, and both ends may be checkpoints or not."""
    client, server = await streams()
    async with client, server:
        for number in range(3):
            await server.send_all(b"%d and some text" % number)
            with assert_checkpoints():
                lease = client.receive_lease()
                view = await lease.__aenter__()
            assert type(view) is memoryview
            assert bytes(view) == b"%d and some text" % number
            view[0:1] = b"x"
            assert view[0] == ord("x")
            await lease.__aexit__(None, None, None)


async def test_the_books_count_a_lease() -> None:
    """A lease is one request that is leased, and one more of leases_outstanding, until its end."""
    client, server = await streams()
    async with client, server:
        await server.send_all(b"x" * 10)
        async with client.receive_lease():
            assert leased_requests() == 1
            during = trio_rio.current_statistics().leases_outstanding
            async with client.lease_send(10):
                assert leased_requests() == 2
                assert trio_rio.current_statistics().leases_outstanding == during + 1
            current_ledger().assert_balanced()
        assert leased_requests() == 0
        assert during >= 1


async def test_the_end_of_the_stream_is_an_empty_view() -> None:
    """At the end each lease is empty, as each receive is."""
    client, server = await streams()
    async with client, server:
        await server.send_all(b"last")
        await server.send_eof()
        async with client.receive_lease() as view:
            assert bytes(view) == b"last"
        for _ in range(3):
            async with client.receive_lease() as view:
                assert len(view) == 0


async def test_leases_and_receives_may_follow_each_other() -> None:
    """Every byte comes once and in order, whatever takes it, in leases that overlap too."""
    total = scaled(1 << 20, 1 << 24)
    client, server = await streams()

    async def send() -> None:
        await server.send_all(numbered(1, 0, total))
        await server.send_eof()

    received = hashlib.sha256()
    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(send)
        count = 0
        while count < total:
            data = await client.receive_some(1 + count % 5000)
            received.update(data)
            count += len(data)
            async with client.receive_lease() as first, client.receive_lease() as second:
                received.update(first)
                received.update(second)
                count += len(first) + len(second)
    assert count == total
    assert received.digest() == hashlib.sha256(numbered(1, 0, total)).digest()


async def test_a_lease_keeps_its_bytes_whatever_comes() -> None:
    """What is in a view stays, though the stream and others receive on."""
    client, server = await streams()
    async with client, server:
        await server.send_all(b"first " * 100)
        async with client.receive_lease() as view:
            kept = bytes(view)
            for _ in range(50):
                await server.send_all(bytes(3000))
                count = 0
                while count < 3000:
                    count += len(await client.receive_some())
                await client.send_all(bytes(100))
                await server.receive_some()
            assert bytes(view) == kept


async def test_a_cancelled_lease_takes_nothing() -> None:
    """Entering in a cancelled scope, and being cancelled while waiting, lose no byte and leave no lease."""
    client, server = await streams()
    async with client, server:
        await server.send_all(b"kept")
        with trio.CancelScope() as scope:
            scope.cancel()
            async with client.receive_lease():
                raise AssertionError("entered")
        assert scope.cancelled_caught
        async with client.receive_lease() as view:
            assert bytes(view) == b"kept"
        with trio.move_on_after(0.01) as scope:
            async with client.receive_lease():
                raise AssertionError("entered")
        assert scope.cancelled_caught
        await server.send_all(b"more")
        async with client.receive_lease() as view:
            assert bytes(view) == b"more"
        assert leased_requests() == 0


async def test_the_errors_of_entering_are_those_of_a_receive() -> None:
    """BusyResourceError while another task receives, ClosedResourceError after closing."""
    client, server = await streams()
    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(client.receive_some)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await client.receive_lease().__aenter__()
        await server.send_all(b"x")
    with pytest.raises(trio.ClosedResourceError):
        await client.receive_lease().__aenter__()
    with pytest.raises(trio.ClosedResourceError):
        await client.lease_send(1).__aenter__()


async def test_closing_wakes_a_task_that_enters() -> None:
    """A task that waits for its lease gets ClosedResourceError when the stream is closed."""
    client, server = await streams()

    async def enter() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await client.receive_lease().__aenter__()

    async with server, trio.open_nursery() as nursery:
        nursery.start_soon(enter)
        await wait_all_tasks_blocked()
        await client.aclose()


# ----------------------------------------------------------------------------------------------------------
# Sending
# ----------------------------------------------------------------------------------------------------------


async def test_what_was_filled_in_is_sent() -> None:
    """The whole view is sent at the end of the block, in order with other sends, and both ends are checkpoints."""
    client, server = await streams()
    async with client, server:
        await client.send_all(b"before ")
        lease = client.lease_send(5)
        with assert_checkpoints():
            view = await lease.__aenter__()
        view[:] = b"hello"
        with assert_checkpoints():
            await lease.__aexit__(None, None, None)
        await client.send_all(b" after")
        await client.send_eof()
        assert b"".join([data async for data in server]) == b"before hello after"
        assert leased_requests() == 0


@pytest.mark.parametrize("size", [1, 4096, 4097, 65536])
async def test_every_size_up_to_a_slice_can_be_sent(size: int) -> None:
    """Any size up to large_slice_size_bytes arrives whole."""
    client, server = await streams()
    async with client, server, trio.open_nursery() as nursery:

        async def send() -> None:
            async with client.lease_send(size) as view:
                view[:] = numbered(2, 0, size)
            await client.send_eof()

        nursery.start_soon(send)
        assert b"".join([data async for data in server]) == numbered(2, 0, size)


async def test_less_than_the_lease_can_be_sent() -> None:
    """send_only makes it less, or nothing; more than there is, is refused and changes nothing."""
    client, server = await streams()
    async with client, server:
        lease = client.lease_send(10)
        for count in (3, 0):
            lease = client.lease_send(10)
            async with lease as view:
                view[:3] = b"abc"
                for bad in (11, -1):
                    with pytest.raises(ValueError, match="10 bytes"):
                        lease.send_only(bad)
                with pytest.raises(TypeError, match="integer"):
                    lease.send_only(1.5)  # type: ignore[arg-type]
                lease.send_only(count)
        await client.send_eof()
        assert b"".join([data async for data in server]) == b"abc"
        with pytest.raises(trio_rio.RioError, match="ended already"):
            lease.send_only(1)


async def test_a_block_that_raises_sends_nothing() -> None:
    """An error in the block is not hidden, and nothing is sent."""
    client, server = await streams()
    async with client, server:
        with pytest.raises(KeyError):
            async with client.lease_send(10):
                raise KeyError
        await client.send_eof()
        assert await server.receive_some() == b""
        assert leased_requests() == 0


@pytest.mark.parametrize("size", [0, -1, 65537, 1 << 40])
async def test_a_size_that_fits_no_slice_is_refused(size: int) -> None:
    """A lease to send of no bytes, or of more than a slice, is a ValueError at once that names the limit."""
    client, server = await streams()
    async with client, server:
        with pytest.raises(ValueError, match=f"1 .. 65536 bytes .RioConfig.large_slice_size_bytes., not {size}"):
            client.lease_send(size)
        with pytest.raises(TypeError):
            client.lease_send("1")  # type: ignore[arg-type]


async def test_sending_ends_before_leasing() -> None:
    """After send_eof a lease to send is ClosedResourceError, on entering and on leaving."""
    client, server = await streams()
    async with client, server:
        with pytest.raises(trio.ClosedResourceError):
            async with client.lease_send(1):
                await client.send_eof()
        with pytest.raises(trio.ClosedResourceError):
            await client.lease_send(1).__aenter__()
        assert await server.receive_some() == b""
        assert leased_requests() == 0


async def test_another_sender_is_a_conflict() -> None:
    """Leaving while another task sends is BusyResourceError, and nothing is sent."""
    client, server = await streams()
    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, bytes(32 << 20))
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            async with client.lease_send(1):
                pass
        assert leased_requests() == 0
        nursery.cancel_scope.cancel()


async def test_a_cancelled_send_ends_the_lease() -> None:
    """Cancelled on leaving, it raises Cancelled, sends nothing in a scope that was cancelled before, and is over."""
    client, server = await streams()
    async with client, server:
        with trio.CancelScope() as scope:
            async with client.lease_send(10):
                scope.cancel()
        assert scope.cancelled_caught
        assert leased_requests() == 0
        await client.send_eof()
        assert await server.receive_some() == b""


@pytest.fixture(params=["stock Trio", "socket pair"])
def elsewhere(request: pytest.FixtureRequest, rio_run: RioRun) -> Callable[[Callable[..., Awaitable[None]]], None]:
    """Runs a test where RIO does not serve: in a run of stock Trio on TCP, or on UNIX sockets."""

    async def on_tcp(function: Any) -> None:
        await function(*await streams())

    async def on_unix(function: Any) -> None:
        ours, theirs = trio.socket.socketpair()
        await function(RioStream(ours), RioStream(theirs))

    if request.param == "stock Trio":
        return lambda function: trio.run(on_tcp, function)
    return lambda function: rio_run(on_unix, function)


def test_where_rio_does_not_serve_leases_are_the_same(elsewhere: Any) -> None:
    """Views, their end, misuse and sending: the same on plain memory."""

    async def main(client: RioStream, server: RioStream) -> None:
        async with client, server:
            async with server.lease_send(10) as view:
                view[:] = b"0123456789"
            with pytest.raises(ValueError, match="released"):
                view[0]
            async with client.receive_lease() as view:
                assert bytes(view) == b"0123456789"
                view[0] = 1
            with pytest.raises(ValueError, match="released"):
                view[0]
            await server.send_all(b"x")
            with pytest.raises(BufferError):
                async with client.receive_lease() as view:
                    piece = view[:]
            assert bytes(piece) == b"x"
            del piece
            with pytest.raises(ValueError, match="65536"):
                client.lease_send(65537)
            await server.send_eof()
            async with client.receive_lease() as view:
                assert len(view) == 0
            with pytest.raises(trio.ClosedResourceError):
                async with client.lease_send(3):
                    await client.aclose()

    elsewhere(main)


async def test_no_warning_when_all_is_well() -> None:
    """Leases that end as they should say nothing."""
    client, server = await streams()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with client, server:
            async with server.lease_send(1):
                pass
            async with client.receive_lease():
                pass


def test_the_limits_are_those_of_the_run(rio_provider: str, mode: str) -> None:
    """What a lease to send may have is the size of a slice in this run."""

    async def main() -> None:
        client, server = await streams()
        async with client, server:
            with pytest.raises(ValueError, match=r"1 .. 8192 bytes"):
                client.lease_send(8193)
            async with client.lease_send(8192):
                pass

    cancellation: Any = None if mode == "request" else "detach"
    trio_rio.run(main, config=RioConfig(provider=rio_provider, cancellation=cancellation, large_slice_size_bytes=8192))
