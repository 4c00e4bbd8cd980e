"""Runs inside another event loop."""

from __future__ import annotations

import asyncio
import queue
import socket
from collections.abc import Callable
from typing import Any

import outcome
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio

from ..platforms import IS_WINDOWS
from .harness import PATIENCE_SECONDS, numbered, open_pair, receive_all, send_all, stdlib_pair


def run_on_queue(async_fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A host that is as plain as can be: a queue of callbacks."""
    todo: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    results: list[outcome.Outcome[Any]] = []
    trio_rio.start_guest_run(async_fn, *args, run_sync_soon_threadsafe=todo.put, done_callback=results.append, **kwargs)
    while not results:
        todo.get(timeout=PATIENCE_SECONDS)()
    return results[0].unwrap()


def run_on_asyncio(async_fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A host that has a selector of its own."""

    async def host() -> Any:
        done: asyncio.Future[outcome.Outcome[Any]] = asyncio.get_running_loop().create_future()
        trio_rio.start_guest_run(
            async_fn,
            *args,
            run_sync_soon_threadsafe=asyncio.get_running_loop().call_soon_threadsafe,
            host_uses_signal_set_wakeup_fd=IS_WINDOWS,  # asyncio does there
            done_callback=done.set_result,
            **kwargs,
        )
        return (await done).unwrap()

    return asyncio.run(host())


Host = Callable[..., Any]


@pytest.fixture(params=[run_on_queue, run_on_asyncio], ids=["queue", "asyncio"])
def host(request: pytest.FixtureRequest) -> Host:
    """A function that runs an async function as a guest."""
    run: Host = request.param
    return run


@pytest.fixture(params=["request", "detach"])
def config(request: pytest.FixtureRequest, rio_provider: str) -> trio_rio.RioConfig:
    """Options of a run on the provider of this test, in both modes."""
    return trio_rio.RioConfig(provider=rio_provider, cancellation=request.param)


def test_traffic(host: Host, config: trio_rio.RioConfig) -> None:
    """Megabytes pass both ways, with timeouts and threads beside them."""

    async def main() -> str:
        async with open_pair() as (client, server), trio.open_nursery() as nursery:

            async def send() -> None:
                await send_all(client, numbered(1, 0, 3 << 20))
                client.shutdown(socket.SHUT_WR)

            nursery.start_soon(send)
            nursery.start_soon(trio.sleep, 0.02)
            nursery.start_soon(trio.to_thread.run_sync, lambda: None)
            assert await receive_all(server) == numbered(1, 0, 3 << 20)
        return trio_rio.current_statistics().provider

    assert host(main, config=config) == config.provider


def test_many_small_messages(host: Host, config: trio_rio.RioConfig) -> None:
    """Each of many round trips goes through the host's loop and comes back."""

    async def main() -> None:
        async with open_pair() as (client, server):
            for number in range(200):
                await client.send(b"%d" % number)
                await server.send(await server.recv(100))
                assert await client.recv(100) == b"%d" % number

    host(main, config=config)


def test_exceptions_come_out(host: Host, config: trio_rio.RioConfig) -> None:
    """What main raises reaches the host, and everything is given back."""

    async def main() -> None:
        async with open_pair() as (client, _), trio.open_nursery() as nursery:
            nursery.start_soon(client.recv, 1)
            await wait_all_tasks_blocked()
            raise ValueError("out")

    with pytest.RaisesGroup(ValueError):
        host(main, config=config)


def test_a_cancellation_by_the_host(config: trio_rio.RioConfig) -> None:
    """The host cancels while the guest waits in the kernel: it ends at once, and takes no data with it."""
    ours, theirs = stdlib_pair()
    todo: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    results: list[outcome.Outcome[Any]] = []
    scope = trio.CancelScope()
    is_waiting = False

    async def main() -> bytes:
        nonlocal is_waiting
        with trio.socket.from_stdlib_socket(ours) as client:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client.recv, 100)
                    await wait_all_tasks_blocked()
                    is_waiting = True
                    await trio.sleep_forever()
            return await client.recv(100)

    def turn() -> None:
        todo.get(timeout=PATIENCE_SECONDS)()

    with theirs:
        trio_rio.start_guest_run(main, run_sync_soon_threadsafe=todo.put, done_callback=results.append, config=config)
        while not is_waiting:
            turn()
        for _ in range(20):  # the guest waits in its thread when there is nothing to do any more
            if todo.empty():
                break
            turn()
        scope.cancel()
        theirs.send(b"after")
        while not results:
            turn()
    assert results[0].unwrap() == b"after"


@pytest.mark.parametrize("call", ["recv", "wait_readable"])
def test_a_close_by_the_host(call: str, config: trio_rio.RioConfig) -> None:
    """The host closes a socket that the guest waits on: the task is told, and the peer sees the end at once."""
    ours, theirs = stdlib_pair()
    todo: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    results: list[outcome.Outcome[Any]] = []
    sockets: list[trio.socket.SocketType] = []

    async def main() -> str:
        client = trio.socket.from_stdlib_socket(ours)
        sockets.append(client)
        with pytest.raises(trio.ClosedResourceError):
            if call == "recv":
                await client.recv(100)
            else:
                await trio.lowlevel.wait_readable(client)
        return "told"

    with theirs:
        trio_rio.start_guest_run(main, run_sync_soon_threadsafe=todo.put, done_callback=results.append, config=config)
        while not sockets:
            todo.get(timeout=PATIENCE_SECONDS)()
        with pytest.raises(queue.Empty):
            while True:
                todo.get(timeout=0.1)()
        sockets[0].close()
        theirs.settimeout(PATIENCE_SECONDS)
        assert theirs.recv(1) == b""
        while not results:
            todo.get(timeout=PATIENCE_SECONDS)()
    assert results[0].unwrap() == "told"


def test_one_guest_after_another(config: trio_rio.RioConfig) -> None:
    """Guests that follow each other in one host's loop share nothing."""

    async def main() -> list[str]:
        loop = asyncio.get_running_loop()

        async def guest() -> str:
            async with open_pair() as (client, server):
                for number in range(50):
                    await client.send(b"%d" % number)
                    assert await server.recv(100) == b"%d" % number
            return trio_rio.current_statistics().provider

        futures = [loop.create_future() for _ in range(3)]
        for future in futures:
            trio_rio.start_guest_run(
                guest,
                run_sync_soon_threadsafe=loop.call_soon_threadsafe,
                host_uses_signal_set_wakeup_fd=IS_WINDOWS,
                done_callback=future.set_result,
                config=config,
            )
            await future
        return [future.result().unwrap() for future in futures]

    assert asyncio.run(main()) == [config.provider] * 3
