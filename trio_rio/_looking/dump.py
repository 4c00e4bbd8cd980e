"""What a run holds at this moment: its sockets, their requests, and leases with the place where each was taken."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

from .._engine.engine import Engine
from .._engine.packet_handlers import QueueOwner
from .._engine.requests import FREE, LEASED, Request
from .._engine.traffic import Traffic
from .runs import Run, read


def dump(runs: list[Run]) -> str:
    """Text about these runs. It only looks, from whatever thread, or from a signal handler."""
    lines = [f"trio_rio: process {os.getpid()}, {count(len(runs), 'run')} under way"]
    for run in runs:
        lines += read(lambda run=run: list(_lines_of(run)))  # type: ignore[misc]
    return "".join(f"{line}\n" for line in lines)


def count(number: int, what: str) -> str:
    """A number of things."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _lines_of(run: Run) -> Iterator[str]:
    engine = run.engine
    here = " (this thread)" if run.thread == threading.current_thread().name else ""
    yield f"run in thread {run.thread!r}{here}, for {run.seconds:.1f} s"
    yield f"  served by {engine.provider.name}: {engine.because}"
    used = [request for request in list(engine.pool.requests) if request.state is not FREE]
    channels: list[Any] = list(engine.channels.values())
    owners = list(engine.packet_handlers.owners())
    lingering = [one for one in list(engine.lingering) if one not in channels]
    yield f"  {count(len(channels) + len(owners) + len(lingering), 'socket')}:"
    for channel in (*channels, *lingering):
        yield from _channel_lines(channel, [one for one in used if one.channel is channel])
    for owner in owners:
        yield from _owner_lines(owner)
    loose = [one for one in used if one.channel is None]
    if loose:
        yield f"  {count(len(loose), 'request')} of no socket:"
        yield from map(_request_line, loose)
    yield from _lease_lines(engine)


def _channel_lines(channel: Traffic, requests: list[Request]) -> Iterator[str]:
    yield f"    {describe_socket(channel.sock)}: {count(len(requests), 'request')}"
    for request in requests:
        yield f"  {_request_line(request)}"
    waiting = len(channel.window_waiters)
    if waiting:
        yield f"      {count(waiting, 'task')} waiting for room in the send window"


def _owner_lines(owner: QueueOwner) -> Iterator[str]:
    account = owner.account()
    in_flight = f"{count(account.receives_in_flight, 'receive')} and {count(account.sends_in_flight, 'send')} in flight"
    yield f"    {describe_socket(owner.sock)}, with queues of its own: {in_flight}"


def _request_line(request: Request) -> str:
    kind = "lent" if request.state is LEASED else "receive" if request.is_receive else "send"
    task = "" if request.task is None else f", task {request.task.name}"
    return f"    {kind} of {count(request.length, 'byte')}, {request.state.name.lower()}{task}"


def _lease_lines(engine: Engine) -> Iterator[str]:
    held = engine.leases.held()
    yield f"  {count(len(held), 'lease')}, {count(engine.leases.bytes_lent, 'byte')} lent{':' if held else ''}"
    for lease in held:
        filename, line = lease.place
        size = sum(part.size_bytes for part in lease.parts)
        yield f"    {count(size, 'byte')} of a {type(lease.holder).__name__}, taken at {filename}:{line}"
    if engine.leases.kept:
        yield f"  {count(len(engine.leases.kept), 'part')} of leases that are over, and whose memory is still in use"


def describe_socket(sock: socket.socket) -> str:
    """A socket by its number, kind and addresses."""
    if sock.fileno() == -1:
        return "a closed socket"
    kinds = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP"}
    local, remote = "?", ""
    with contextlib.suppress(OSError):
        local = _address(sock.getsockname())
    with contextlib.suppress(OSError):
        remote = f" to {_address(sock.getpeername())}"
    return f"socket {sock.fileno()}, {kinds.get(sock.type, 'other')} {local}{remote}"


def _address(address: Any) -> str:
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(address)
