"""A socket that is closed behind our back while a copy of it lives: what went wrong once."""

from __future__ import annotations

import select
import socket

import pytest
import trio

from trio_rio._engine.current import current_engine
from trio_rio.rio.portable.provider import PortableProvider
from trio_rio.rio.portable.readiness import SelectorWaits

from ..engine.harness import PATIENCE_SECONDS, open_pair, stdlib_pair
from ..platforms import needs_linux

pytestmark = needs_linux  # elsewhere the poll set forgets a descriptor with its number


@pytest.mark.providers("portable")
async def test_what_is_closed_is_not_reported_for_ever() -> None:
    """When nothing is posted on what has come, the poll set is at rest after at most a few looks."""
    ours, theirs = stdlib_pair()
    sock = trio.socket.from_stdlib_socket(ours)
    engine = current_engine()
    assert engine is not None
    provider = engine.provider
    assert isinstance(provider, PortableProvider)
    with theirs:
        with trio.move_on_after(0.01):
            await sock.recv(10)
        with ours.dup():
            ours.close()
            theirs.send(b"x")
            async with open_pair() as (one, other):  # the poll set goes on serving
                await one.send(b"y")
                with trio.fail_after(PATIENCE_SECONDS):
                    assert await other.recv(1) == b"y"
            with trio.fail_after(PATIENCE_SECONDS):
                while provider._driver.waits.poll(0) or is_readable(provider.fileno()):
                    await trio.lowlevel.checkpoint()


def is_readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def test_what_was_closed_is_reported_once_at_most() -> None:
    """What was closed while it was watched, and cannot be unwatched, is reported once at most; the rest still is."""
    waits = SelectorWaits()
    closed, one = socket.socketpair()
    kept, other = socket.socketpair()
    with closed, one, kept, other, closed.dup():
        number = closed.fileno()
        waits.watch(number, True, False)
        waits.watch(kept.fileno(), True, False)
        closed.close()
        waits.unwatch(number)
        one.send(b"x")
        assert waits.poll(0) in ([], [(number, True, False)])
        assert waits.poll(0) == []
        assert not is_readable(waits.fileno())
        other.send(b"x")
        assert waits.poll(1) == [(kept.fileno(), True, False)]
        waits.close()
