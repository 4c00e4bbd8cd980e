"""The end of a run: what went wrong once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from ..engine.harness import fill, stdlib_pair

if TYPE_CHECKING:
    from ..conftest import RioRun


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
