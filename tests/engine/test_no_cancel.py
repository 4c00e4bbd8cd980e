"""Runs on a provider that cannot cancel one request, as on Windows; shown with the portable one, made so."""

from __future__ import annotations

import weakref

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio.rio.portable.provider import PortableProvider

from ..platforms import IS_WINDOWS
from .harness import dropping, open_pair, tcp_pair

pytestmark = [
    pytest.mark.providers("portable"),
    pytest.mark.skipif(IS_WINDOWS, reason="there portable leaves sockets to Trio, and winsock shows the real thing"),
]


@pytest.fixture(autouse=True)
def cannot_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    """The portable provider says that it cannot."""
    monkeypatch.setattr(PortableProvider, "can_cancel", False)


async def test_a_dropped_socket_is_closed() -> None:
    """A socket that is dropped with a receive posted is closed, with a ResourceWarning; its peer sees the end."""
    client, server = await tcp_pair()
    with trio.move_on_after(0.01):
        await client.recv(1)
    await trio.lowlevel.checkpoint()  # Trio holds what a task was resumed with during its step
    with dropping(weakref.ref(client)):
        del client
    with server:
        assert await server.recv(1) == b""
        await wait_all_tasks_blocked()
        assert trio_rio.current_statistics().sockets_open == 1


def test_a_socket_left_open_is_closed_with_its_run(rio_provider: str) -> None:
    """A socket with a receive posted is closed at the end of the run; one that only sent stays open."""

    async def main() -> list[trio.socket.SocketType]:
        client, server = await tcp_pair()
        await client.send(b"x")
        assert await server.recv(1) == b"x"
        with trio.move_on_after(0.01):
            await server.recv(1)
        return [client, server]

    client, server = trio_rio.run(main, config=trio_rio.RioConfig(provider=rio_provider))
    assert (client.fileno() != -1, server.fileno()) == (True, -1)
    client._sock.close()  # type: ignore[attr-defined]


async def test_a_socket_with_a_receive_posted_is_not_shared() -> None:
    """detach() and dup() raise OSError, lose nothing, and change nothing."""
    async with open_pair() as (client, server):
        with trio.move_on_after(0.01):
            await client.recv(1)
        for share in (client.detach, client.dup):
            with pytest.raises(OSError, match="would lose bytes"):
                share()
        await server.send(b"x")
        assert await client.recv(1) == b"x"


async def test_wait_writable_waits_for_room_in_the_window() -> None:
    """It returns at once while there is room."""
    async with open_pair() as (client, _):
        await client.send(b"x")
        with trio.fail_after(5):
            await client.wait_writable()
