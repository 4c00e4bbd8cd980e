"""The end of a run: what went wrong once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

import trio_rio

from ..engine.harness import PATIENCE_SECONDS, fill, stdlib_pair
from ..platforms import needs_full_buffers

if TYPE_CHECKING:
    from ..conftest import RioRun

pytestmark = needs_full_buffers


@pytest.mark.timeout(20)
@pytest.mark.rio_config(cancellation="detach", linger_seconds=0.2)
def test_a_peer_that_does_not_read_does_not_keep_the_run(rio_run: RioRun) -> None:
    """A run ends though a closed socket has bytes in flight that nobody takes: lingering is bounded there too."""
    ours, theirs = stdlib_pair()

    async def main() -> None:
        with trio.socket.from_stdlib_socket(ours) as sock:
            fill(ours)
            await sock.send(b"never taken")

    with theirs:
        rio_run(main)


@pytest.mark.rio_config(cancellation="detach")
async def test_what_was_sent_before_the_end_of_the_run_arrives(rio_provider: str) -> None:
    """send_all(x) and the end of the run: the peer gets x, and then the end."""
    ours, theirs = stdlib_pair()
    fill(ours)
    received = bytearray()

    async def main() -> None:
        with trio.socket.from_stdlib_socket(ours) as sock:
            await sock.send(b"last words")

    def read() -> None:
        with theirs:
            theirs.settimeout(PATIENCE_SECONDS)
            while data := theirs.recv(1 << 20):
                received.extend(data)

    config = trio_rio.RioConfig(provider=rio_provider, cancellation="detach")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, lambda: trio_rio.run(main, config=config))
        await trio.to_thread.run_sync(read)
    assert received.endswith(b"last words")
