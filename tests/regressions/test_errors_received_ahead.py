"""The error of a receive that nobody asked for is not told to who asks later, when there is no error any more."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from ..engine.harness import BOTH_MODES

pytestmark = BOTH_MODES


async def test_receiving_too_early_spoils_no_later_receive() -> None:
    """A receive before the connection fails; those after it bring what comes, whatever was received in between."""
    with socket.create_server(("127.0.0.1", 0)) as listener, trio.socket.socket() as sock:
        with pytest.raises(OSError):
            await sock.recv(1)
        await wait_all_tasks_blocked()
        await sock.connect(listener.getsockname())
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"ab")
            assert await sock.recv(1) == b"a"
            assert await sock.recv(1) == b"b"
