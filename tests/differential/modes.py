"""How the programs are run: on stock Trio, and on each provider in each mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import attrs
import trio

import trio_rio
from trio_rio._sockets.socket import RioSocket

from .play import Trace, play_all
from .program import Program

# Options of a run, by the name of the mode.
OPTIONS: dict[str, dict[str, Any]] = {
    "request": {},
    # A window that a large send fills, as it fills a narrow link.
    "detach": {"cancellation": "detach", "send_window_bytes": 65536, "linger_seconds": 1.0},
    "queues": {"completion_queues": 3},
    "first-calls": {},
    "event": {"notification": "event"},
    "polled": {"notification": "polled"},
}
PROVIDERS = ("uring", "portable")

# Calls of a stream that go Trio's own way before its channel is made: programs are too short for the default.
CALLS_WITHOUT_CHANNEL = {"first-calls": 2}


@attrs.frozen
class Mode:
    """A provider, and options of its runs."""

    provider: str
    options: str

    def __str__(self) -> str:
        return f"{self.provider}-{self.options}"

    @property
    def is_detach(self) -> bool:
        """Whether receives are detached, and sends go into a window."""
        return self.options == "detach"

    def play(self, programs: Sequence[Program], cushion: float) -> list[Trace]:
        """The traces of programs in one run of this mode."""
        config = trio_rio.RioConfig(provider=self.provider, **OPTIONS[self.options])
        with mock.patch.object(RioSocket, "_first_calls", CALLS_WITHOUT_CHANNEL.get(self.options, 0)):
            return trio_rio.run(play_all, programs, trio_rio.RioStream, cushion, config=config)


def play_on_stock(programs: Sequence[Program], cushion: float) -> list[Trace]:
    """The traces of programs in one run of stock Trio."""
    return trio.run(play_all, programs, trio.SocketStream, cushion)


def modes(providers: Sequence[str] = PROVIDERS) -> list[Mode]:
    """All modes of these providers."""
    every = [Mode(provider, options) for provider in providers for options in OPTIONS]
    return [mode for mode in every if mode.options != "first-calls" or mode.provider == "uring"]
