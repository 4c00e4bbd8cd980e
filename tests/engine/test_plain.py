"""Where only `portable` is left and nobody asks for it, sockets go Trio's own way, and cost what they cost there."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import NoReturn

import pytest
import trio

import trio_rio
from trio_rio import DatagramChannel, RioStream, _run, _trio
from trio_rio.rio import RioUnavailableError, chooser
from trio_rio.rio.portable.provider import PortableProvider

from ..platforms import IS_WINDOWS
from .harness import tcp_pair, udp_socket

OWN = "winsock" if IS_WINDOWS else "uring"


def refuse() -> NoReturn:
    raise RioUnavailableError(OWN, "a filter forbids it", "allow it")


@pytest.fixture(autouse=True)
def nothing_better(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only portable can be had, nobody asks for it, and nothing was said yet."""
    monkeypatch.delenv(chooser.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr(chooser, "_OPENERS", {OWN: refuse, "portable": PortableProvider})
    _run._warn_once.cache_clear()
    yield
    _run._warn_once.cache_clear()


def test_the_manager_is_trios_own() -> None:
    """No method that Trio calls in a tick, or that a wait goes through, is ours."""

    async def main() -> None:
        manager = type(_trio.GLOBAL_RUN_CONTEXT.runner.io_manager)
        for name in ("get_events", "process_events", "wait_readable", "wait_writable", "notify_closing", "statistics"):
            assert getattr(manager, name) is getattr(_trio.StockIOManager, name)

    trio_rio.run(main)


def test_sockets_have_trios_own_methods() -> None:
    """Those that a program makes, and those that it accepts; and none counts as RIO's."""

    async def main() -> None:
        for sock in await tcp_pair():
            with sock:
                for name in ("recv", "recv_into", "send", "accept", "connect", "close"):
                    assert getattr(type(sock), name) is getattr(_trio.StockSocketType, name)
        assert trio_rio.current_statistics().sockets_open == 0

    trio_rio.run(main)


async def use_a_stream() -> None:
    """Both directions, and a lease."""
    client, server = map(RioStream, await tcp_pair())
    async with client, server:
        await client.send_all(b"there")
        assert await server.receive_some() == b"there"
        async with server.lease_send(4) as view:
            view[:] = b"back"
        async with client.receive_lease() as view:
            assert bytes(view) == b"back"


async def use_a_datagram_channel() -> None:
    """Both directions."""
    with await udp_socket() as theirs:
        async with DatagramChannel(await udp_socket()) as channel:
            await channel.send(b"there", theirs.getsockname())
            _, address = await theirs.recvfrom(10)
            await theirs.sendto(b"back", address)
            assert (await channel.receive())[0] == b"back"


@pytest.mark.parametrize("use", [use_a_stream, use_a_datagram_channel])
def test_what_trio_rio_has_of_its_own_works(use: Callable[[], Awaitable[None]]) -> None:
    """As in a run of stock Trio."""
    trio_rio.run(use)


def provider_and_reason() -> tuple[str, str]:
    """What the statistics of a run say."""

    async def main() -> tuple[str, str]:
        numbers = trio_rio.current_statistics()
        return numbers.provider, numbers.provider_because

    return trio_rio.run(main)


def test_it_says_so() -> None:
    """The statistics name the provider that is left, and why sockets do without it."""
    provider, reason = provider_and_reason()
    assert provider == "portable"
    assert "a filter forbids it" in reason
    assert "go Trio's own way" in reason


def test_it_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """One WARNING in a process, with reason and remedy, however many runs there are."""
    for _ in range(3):
        provider_and_reason()
    [record] = [record for record in caplog.records if record.name == "trio_rio"]
    assert record.levelno == logging.WARNING
    assert "a filter forbids it" in record.getMessage()
    assert "Remedy: allow it" in record.getMessage()


@pytest.mark.skipif(IS_WINDOWS, reason="portable leaves sockets to Trio there")
@pytest.mark.parametrize("by", ["argument", "environment"])
def test_who_asks_for_portable_gets_it(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By argument or environment: requests and queues of its own."""
    if by == "environment":
        monkeypatch.setenv(chooser.ENVIRONMENT_VARIABLE, "portable")

    async def main() -> None:
        client, server = await tcp_pair()
        with client, server:
            await client.send(b"x")
            assert await server.recv(1) == b"x"
            assert trio_rio.current_statistics().sockets_open == 2

    trio_rio.run(main, config=trio_rio.RioConfig(provider="portable") if by == "argument" else None)


def test_every_run_of_a_process() -> None:
    """After install(), trio.run() is served so too."""
    trio_rio.install()
    try:
        trio.run(use_a_stream)
    finally:
        trio_rio.uninstall()
