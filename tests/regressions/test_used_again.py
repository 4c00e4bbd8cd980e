"""Descriptors that are closed behind our back and used again: what went wrong once."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ..engine.harness import BOTH_MODES, stdlib_pair
from ..platforms import IS_WINDOWS

pytestmark = [*BOTH_MODES, pytest.mark.skipif(IS_WINDOWS, reason="Windows gives numbers in no order")]


async def test_a_task_on_the_old_socket_is_told() -> None:
    """The number of a socket that a task receives on is closed and used again: the task gets ClosedResourceError.

    Once it waited for ever, and cancelling it ended the run with an internal error.
    """
    ours, theirs = stdlib_pair()
    number = ours.fileno()
    sock = trio.socket.from_stdlib_socket(ours)

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await sock.recv(10)

    with theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            ours.close()
            new, other = stdlib_pair()
            reused = [one for one in (new, other) if one.fileno() == number]
            assert reused
            with trio.socket.from_stdlib_socket(new) as one, trio.socket.from_stdlib_socket(other) as two:
                await one.send(b"new")
                assert await two.recv(10) == b"new"
                await two.send(b"and back")
                assert await one.recv(10) == b"and back"
