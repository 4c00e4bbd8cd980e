"""Trio's own I/O manager, and nothing of ours on the way of a socket.

Facts. Where RIO is not to be had, the ``portable`` provider can stand in for it: its requests and queues are Python on
top of the very calls that Trio's sockets make themselves, and cost up to twice as much.

Consequence. A program that asks for ``portable`` by name wants completion queues for their own sake. One that merely
runs where io_uring is refused must not pay for what it does not get.

Decision. Where nobody asks for ``portable``, sockets go Trio's own way, by Trio's own manager, with none of its methods
overridden. The run has an engine that serves no socket, so that statistics, leases and datagram channels work as in
every run. RIO's function table is there as ever (:func:`trio_rio.rio.open_provider`)."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .._engine.engine import Engine
from .._trio import StockIOManager

if TYPE_CHECKING:
    from collections.abc import Container

    from .._config import RioConfig
    from ..rio import Event, Provider


class PlainIOManager(StockIOManager):
    """See the module's docstring. Closes ``provider`` at the end of the run; if it cannot be made the caller does."""

    commits = 0
    waits: Container[int] = ()

    def __init__(self, config: RioConfig, because: str, provider: Provider) -> None:
        super().__init__()
        try:
            self.engine: Engine = Engine(self, provider, provider.create_port(), config, because)
        except BaseException:
            super().close()
            raise
        self.engine.serves_sockets = False

    def close(self) -> None:
        """End of the run."""
        with contextlib.ExitStack() as stack:
            stack.callback(super().close)
            self.engine.close()

    # What an engine asks of its manager, if it serves sockets.

    def enter(self) -> None:
        """See :meth:`Manager.enter`."""

    def commit_from_outside(self) -> None:
        """See :meth:`Manager.commit_from_outside`."""

    async def wait_elsewhere(self, fd: int) -> None:
        await self.wait_readable(fd)

    async def wait_event(self, event: Event) -> None:
        raise AssertionError("only the notifier waits for events, and a run that serves no sockets has none")
