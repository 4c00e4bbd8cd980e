"""A forked child can use nothing of its parent's run, and disturbs nothing."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio.testing import assert_ledger_balanced

from ..platforms import needs_fork
from .harness import open_pair, scaled, stdlib_pair

pytestmark = [
    needs_fork,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]

DEADLINE_SECONDS = 20


def in_child(function: Callable[[], object]) -> int:
    """Run a function in a forked child, and return its exit code: 0 if it returned."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            signal.alarm(DEADLINE_SECONDS)
            function()
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def drive(call: object) -> None:
    """Take a coroutine to its first wait, as the run of the parent would."""
    call.send(None)  # type: ignore[attr-defined]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = stdlib_pair()
    with ours, theirs:
        yield ours, theirs


async def test_each_use_in_a_child_is_refused() -> None:
    """Receiving, sending, waiting and asking in a forked child raise RioError or RuntimeError, and reach no kernel."""
    async with open_pair() as (client, server):
        await client.send(b"x")
        assert await server.recv(1) == b"x"

        wait = trio.lowlevel.wait_readable

        def use() -> None:
            for call in (
                lambda: drive(client.recv(1)),
                lambda: drive(client.send(b"never")),
                lambda: drive(wait(client)),
                lambda: drive(client.wait_writable()),
                trio_rio.current_statistics,
            ):
                with pytest.raises((trio_rio.RioError, RuntimeError)):
                    call()

        assert in_child(use) == 0
        await client.send(b"y")
        assert await server.recv(10) == b"y"
        assert_ledger_balanced()


async def test_the_exit_of_a_child_leaves_the_parent_alone() -> None:
    """Requests and readiness waits in flight go on when forked children use the run and end, in every way."""
    async with open_pair() as (client, server), open_pair() as (third, fourth), trio.open_nursery() as nursery:
        received: list[bytes] = []
        ready = trio.Event()

        async def receive() -> None:
            received.append(await client.recv(100))

        async def wait() -> None:
            await trio.lowlevel.wait_readable(third)
            ready.set()

        nursery.start_soon(receive)
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        for _ in range(scaled(10, 1000)):
            assert in_child(lambda: None) == 0
            assert in_child(client.close) == 0
        await server.send(b"for the parent")
        await fourth.send(b"x")
        with trio.fail_after(5):
            await ready.wait()
            while not received:
                await trio.lowlevel.checkpoint()
        assert received == [b"for the parent"]
        assert_ledger_balanced()


def test_a_child_that_leaves_the_run(rio_provider: str, pair: tuple[socket.socket, socket.socket]) -> None:
    """A child that unwinds the run that it was forked in ends it without touching the parent's."""

    async def main() -> int:
        client = trio.socket.from_stdlib_socket(pair[0])
        async with trio.open_nursery() as nursery:
            received: list[bytes] = []

            async def receive() -> None:
                received.append(await client.recv(100))

            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            pid = os.fork()
            if not pid:
                signal.alarm(DEADLINE_SECONDS)
                raise KeyboardInterrupt
            code = os.waitstatus_to_exitcode((await trio.to_thread.run_sync(os.waitpid, pid, 0))[1])
            pair[1].send(b"still there")
        assert received == [b"still there"]
        client.close()
        return code

    parent = os.getpid()
    try:
        code = trio_rio.run(main, config=trio_rio.RioConfig(provider=rio_provider))
    except BaseException:  # Trio itself does not go on in a child
        if os.getpid() == parent:
            raise
        os._exit(7)
    assert code == 7


async def test_a_child_can_have_a_run_of_its_own(rio_provider: str) -> None:
    """A child that has left its parent's run behind starts one of its own."""
    async with open_pair() as (client, server):
        await client.send(b"x")

        async def main() -> str:
            async with open_pair() as (client, server):
                await client.send(b"child")
                assert await server.recv(10) == b"child"
            return trio_rio.current_statistics().provider

        def run() -> None:
            signal.set_wakeup_fd(-1)
            vars(trio._core._run.GLOBAL_RUN_CONTEXT).clear()
            assert trio_rio.run(main, config=trio_rio.RioConfig(provider=rio_provider)) == rio_provider

        assert in_child(run) == 0
        assert await server.recv(10) == b"x"
