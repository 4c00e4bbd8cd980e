"""Misuse of leases on streams: an error each time, and the memory is neither reused nor freed under anybody.

These tests run under AddressSanitizer as well (``tests/sanitizers/run.sh``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import trio

import trio_rio
from trio_rio import RioStream
from trio_rio._engine.current import current_engine

from ..conftest import RioRun
from .harness import BOTH_MODES, PATIENCE_SECONDS
from .test_stream_leases import leased_requests, streams

pytestmark = BOTH_MODES

SMALL_MEMORY = {
    "registered_bytes_max": 65536,
    "small_slice_size_bytes": 4096,
    "large_slice_size_bytes": 16384,
    "bulk_slice_size_bytes": 0,
}


# ----------------------------------------------------------------------------------------------------------
# Misuse
# ----------------------------------------------------------------------------------------------------------


async def until(is_so: Callable[[], bool]) -> None:
    """Let the others run until it is so."""
    with trio.fail_after(PATIENCE_SECONDS):
        while not is_so():
            await trio.lowlevel.checkpoint()


def make_receive(client: RioStream) -> Any:
    return client.receive_lease()


def make_send(client: RioStream) -> Any:
    return client.lease_send(10)


both_kinds = pytest.mark.parametrize("make", [make_receive, make_send])
Make = Callable[[RioStream], Any]


@both_kinds
async def test_use_after_the_block(make: Make) -> None:
    """Every use of the view after its block is a ValueError."""
    client, server = await streams()
    async with client, server:
        await server.send_all(b"0123456789")
        async with make(client) as view:
            pass
        for use in (lambda: view[0], lambda: bytes(view), lambda: len(view), lambda: view.__setitem__(0, 1)):
            with pytest.raises(ValueError, match="released"):
                use()


@both_kinds
async def test_a_slice_that_outlives_the_block(make: Make) -> None:
    """The block ends with BufferError, nothing is sent, and the memory is not reused while the slice is there."""
    client, server = await streams()
    async with client, server:
        await server.send_all(b"0123456789")
        with pytest.raises(BufferError, match="outlives"):
            async with make(client) as view:
                view[:] = b"9876543210"
                piece = view[2:5]
        for _ in range(20):
            await server.send_all(b"abcdefghij")
            await client.receive_some()
            await client.send_all(b"ABCDEFGHIJ")
            assert await server.receive_some(10) == b"ABCDEFGHIJ"
        assert bytes(piece) == b"765"
        assert leased_requests() == 1
        piece.release()
        async with client.lease_send(1):
            pass
        assert leased_requests() == 0


@both_kinds
async def test_an_error_in_the_block_is_not_hidden_by_a_slice(make: Make) -> None:
    """An error that keeps a slice alive in its traceback comes out as it is; the memory waits until it is gone."""
    client, server = await streams()
    async with client, server:
        await server.send_all(b"0123456789")

        async def fail() -> None:
            async with make(client) as view:
                piece = view[2:5]
                raise KeyError(len(piece))

        try:
            await fail()
        except KeyError:
            assert leased_requests() == 1
        async with client.lease_send(1):
            pass
        assert leased_requests() == 0


@both_kinds
async def test_closing_while_a_lease_is_held(make: Make) -> None:
    """Closing works, the view is unusable at once, and the block ends with ClosedResourceError."""
    client, server = await streams()
    async with server:
        await server.send_all(b"0123456789")
        with pytest.raises(trio.ClosedResourceError):
            async with make(client) as view:
                await client.aclose()
                with pytest.raises(ValueError, match="released"):
                    view[0]
        assert leased_requests() == 0


@both_kinds
async def test_closing_the_socket_while_a_lease_is_held(make: Make) -> None:
    """A socket that is closed by itself leaves the view alone; the block ends with ClosedResourceError."""
    client, server = await streams()
    async with server:
        await server.send_all(b"0123456789")
        with pytest.raises(trio.ClosedResourceError):
            async with make(client) as view:
                client.socket.close()
                assert len(view) == 10
        assert leased_requests() == 0


@both_kinds
async def test_releasing_twice(make: Make) -> None:
    """Leaving a block a second time is a RioError that says so."""
    client, server = await streams()
    async with client, server:
        await server.send_all(b"0123456789")
        lease = make(client)
        async with lease:
            pass
        with pytest.raises(trio_rio.RioError, match="ended already"):
            await lease.__aexit__(None, None, None)


@both_kinds
async def test_entering_twice_or_leaving_before(make: Make) -> None:
    """A lease is entered once, and left only after that."""
    client, server = await streams()
    async with client, server:
        await server.send_all(b"0123456789")
        lease = make(client)
        with pytest.raises(trio_rio.RioError, match="never entered"):
            await lease.__aexit__(None, None, None)
        async with lease:
            with pytest.raises(trio_rio.RioError, match="entered before"):
                await lease.__aenter__()


@both_kinds
async def test_a_lease_that_is_dropped(make: Make) -> None:
    """It is reported with the file and line that took it, its view is unusable, and the memory comes back."""
    client, server = await streams()
    async with client, server:
        await server.send_all(b"0123456789")

        async def drop() -> memoryview:
            view: memoryview = await make(client).__aenter__()
            return view

        with pytest.warns(ResourceWarning, match="dropped without being released") as caught:
            view = await drop()
        assert caught[0].filename == __file__
        with pytest.raises(ValueError, match="released"):
            view[0]
        async with client.lease_send(1):
            pass
        assert leased_requests() == 0


@both_kinds
@pytest.mark.rio_config(**SMALL_MEMORY)
async def test_leases_held_too_long_are_back_pressure(make: Make) -> None:
    """When all that a run lends is lent, the next block waits for the end of another, and the peer waits too."""
    client, server = await streams()
    engine = current_engine()
    assert engine is not None
    entered = []

    async def hold() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(16):
                await server.send_all(bytes(10))
                entered.append(await stack.enter_async_context(make(client)))

    async with client, server, trio.open_nursery() as nursery:
        nursery.start_soon(hold)
        await until(lambda: engine.leases.tasks_waiting > 0)
        assert 1 <= len(entered) < 16
        assert len(engine.leases.held()) == len(entered)
        nursery.cancel_scope.cancel()
    assert leased_requests() == 0


@pytest.mark.rio_config(**SMALL_MEMORY)
async def test_waiting_for_a_lease_ends_with_another() -> None:
    """A task that waits for memory goes on as soon as a lease ends."""
    client, server = await streams()
    engine = current_engine()
    assert engine is not None
    async with client, server, trio.open_nursery() as nursery:
        await server.send_all(b"x")
        leases = [client.lease_send(4096) for _ in range(8)]
        for lease in leases:
            await lease.__aenter__()
        received = []

        async def receive() -> None:
            async with client.receive_lease() as view:
                received.append(bytes(view))

        nursery.start_soon(receive)
        await until(lambda: engine.leases.tasks_waiting > 0)
        assert received == []
        await leases[0].__aexit__(None, None, None)
        await until(lambda: bool(received))
        assert received == [b"x"]
        for lease in leases[1:]:
            lease.send_only(0)
            await lease.__aexit__(None, None, None)


# ----------------------------------------------------------------------------------------------------------
# Runs
# ----------------------------------------------------------------------------------------------------------


@both_kinds
def test_the_run_ends_while_a_lease_is_held(make: Make, rio_run: RioRun) -> None:
    """It is reported with the place, and afterwards the view is unusable and leaving the block is a RioError."""
    kept: list[Any] = []

    async def main() -> None:
        client, server = await streams()
        await server.send_all(b"0123456789")
        lease = make(client)
        kept.extend([lease, await lease.__aenter__()])
        client.socket.close()
        server.socket.close()

    async def leave() -> None:
        await kept[0].__aexit__(None, None, None)

    with pytest.warns(ResourceWarning, match=r"the run ended while a lease was held; .*test_lease_misuse.py") as caught:
        rio_run(main)
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="released"):
        kept[1][0]
    with pytest.raises(trio_rio.RioError, match="end of its run"):
        rio_run(leave)


@both_kinds
def test_the_run_ends_while_a_slice_of_a_lease_is_held(make: Make, rio_run: RioRun) -> None:
    """The slice goes on to show memory that nobody else uses and nobody frees."""
    kept: list[Any] = []

    async def main() -> None:
        client, server = await streams()
        async with client, server:
            await server.send_all(b"0123456789")
            with pytest.raises(BufferError):
                async with make(client) as view:
                    view[:] = b"0123456789"
                    kept.append(view[1:4])

    rio_run(main)
    assert bytes(kept[0]) == b"123"


@both_kinds
def test_a_lease_of_another_run(make: Make, rio_run: RioRun) -> None:
    """Leaving the block in another run than it was entered in is a RioError; the memory stays with its run."""
    kept: list[Any] = []

    async def leave() -> None:
        with pytest.raises(trio_rio.RioError, match="another run"):
            await kept[0].__aexit__(None, None, None)

    async def main() -> None:
        client, server = await streams()
        async with client, server:
            await server.send_all(b"0123456789")
            kept.append(make(client))
            async with kept[0] as view:
                await trio.to_thread.run_sync(rio_run, leave)
                await trio.to_thread.run_sync(trio.run, leave)
                assert len(view) == 10

    rio_run(main)
