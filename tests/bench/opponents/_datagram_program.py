"""The UDP workloads on a DatagramChannel: datagram by datagram, and batch by batch."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import trio

from . import ServerSettings
from ._python_server import DATAGRAM_BUFFER_BYTES, announce


async def echo_one_by_one(channel: Any) -> None:
    """Send each datagram back."""
    async for data, address in channel:
        await channel.send(data, address)


async def receive_one_by_one(channel: Any) -> None:
    """Count datagrams; an empty one asks for the count."""
    datagrams = size_bytes = 0
    async for data, address in channel:
        if data:
            datagrams += 1
            size_bytes += len(data)
        else:
            await channel.send(datagrams.to_bytes(8, "little") + size_bytes.to_bytes(8, "little"), address)


async def echo_in_batches(channel: Any) -> None:
    """Send each datagram back."""
    while True:
        await channel.send_many(await channel.receive_many())


async def receive_in_batches(channel: Any) -> None:
    """Count datagrams; an empty one asks for the count."""
    datagrams = size_bytes = 0
    while True:
        for data, address in await channel.receive_many():
            if data:
                datagrams += 1
                size_bytes += len(data)
            else:
                await channel.send(datagrams.to_bytes(8, "little") + size_bytes.to_bytes(8, "little"), address)


ONE_BY_ONE: Mapping[str, Callable[[Any], Awaitable[None]]] = {
    "udp_echo": echo_one_by_one,
    "udp_receive": receive_one_by_one,
}
IN_BATCHES: Mapping[str, Callable[[Any], Awaitable[None]]] = {
    "udp_echo": echo_in_batches,
    "udp_receive": receive_in_batches,
}


def trio_rio() -> Any:
    """By name: the opponents must be listed even where it cannot be imported."""
    return importlib.import_module("trio_rio")


def missing() -> str | None:
    """Why it cannot run here, or ``None``."""
    try:
        module = trio_rio()
    except ImportError as error:
        return f"trio_rio cannot be imported: {error}"
    return None if hasattr(module, "DatagramChannel") else "this trio_rio has no DatagramChannel"


async def serve(programs: Mapping[str, Callable[[Any], Awaitable[None]]], settings: ServerSettings) -> None:
    """Serve one workload until the process is ended."""
    async with await trio_rio().open_datagram_channel(("127.0.0.1", 0)) as channel:
        channel.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, DATAGRAM_BUFFER_BYTES)
        announce(channel.socket.getsockname()[1], {"provider": channel.statistics().provider})
        await programs[settings.workload](channel)
