"""Attributes that a program deletes: a call says so, and the process goes on."""

from __future__ import annotations

import pytest

from ..engine.harness import python

DELETED = """
import socket
import sys
import trio
import trio_rio


async def main():
    ours, theirs = pair()
    stream = trio_rio.RioStream(trio.socket.from_stdlib_socket(ours))
    del ours  # a socket with another name gets no channel
    with theirs:
        for _ in range(6):  # it has its channel by then
            await stream.send_all(b"x")
        sock = stream._sock
        del stream._sock
        try:
            await stream.send_all(b"x")
        except AttributeError as error:
            print(error.name)
        stream._sock = sock
        await stream.aclose()


def pair():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return socket.create_connection(listening.getsockname()), listening.accept()[0]


trio_rio.run(main, config=trio_rio.RioConfig(provider=sys.argv[1]))
"""


@pytest.mark.providers("uring")
def test_a_stream_without_its_socket_says_so(rio_provider: str) -> None:
    """Sending by a stream whose socket was deleted raises AttributeError, and does not end the process."""
    assert python(DELETED, rio_provider, provider=rio_provider).stdout == "_sock\n"
