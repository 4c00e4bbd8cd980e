"""A differential test that finds nothing in a broken product says nothing about a whole one."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
import trio

from trio_rio._engine import requests as _requests
from trio_rio._engine.channel import Channel
from trio_rio._trio import StockSocketType

from .compare import BATCH, batch, differences
from .modes import Mode
from .test_differential import PROGRAMS, SEED, pytestmark

__all__ = ["pytestmark"]


def drop_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """A receive of five bytes or more loses the last."""
    take_bytes = Channel.take_bytes

    def take_less(channel: Channel, request: Any) -> bytes:
        data = take_bytes(channel, request)
        return data[:-1] if len(data) >= 5 else data

    monkeypatch.setattr(Channel, "take_bytes", take_less)


def forget_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second receive waits for ever, and is not told that another task waits."""
    monkeypatch.setattr("trio_rio._engine.channel.claim_receive", lambda channel: False)
    monkeypatch.setattr(StockSocketType, "recv", _wait_for_ever)


async def _wait_for_ever(*_: object) -> bytes:
    await trio.sleep_forever()
    return b""


def say_another_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken connection has another error number."""
    error_from_status = _requests.error_from_status  # type: ignore[attr-defined]

    def another(*args: Any) -> OSError:
        error: OSError = error_from_status(*args)
        return type(error)((error.errno or 0) + 1, error.strerror)

    monkeypatch.setattr(_requests, "error_from_status", another)


def delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing a socket on which a task has received keeps the connection open for a while."""
    close = Channel.close

    def close_late(channel: Channel) -> bool:
        if not channel.is_closed and channel.sock.fileno() != -1:
            trio.lowlevel.spawn_system_task(_keep, channel.sock.dup())
        return close(channel)

    monkeypatch.setattr(Channel, "close", close_late)


async def _keep(sock: socket.socket) -> None:
    with sock:
        await trio.sleep(0.1)


@pytest.mark.parametrize("break_it", [drop_a_byte, forget_the_reader, say_another_number, delay_the_end])
def test_it_finds_what_is_broken(
    monkeypatch: pytest.MonkeyPatch, rio_provider: str, break_it: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Each of these faults is found by the thousand programs."""
    break_it(monkeypatch)
    mode = Mode(rio_provider, "request")
    batches = (batch(SEED, first, BATCH) for first in range(0, PROGRAMS, BATCH))
    assert any(difference for each in batches for difference in differences(*each, [mode]))
