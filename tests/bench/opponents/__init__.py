"""Who is measured. Each public module of this package describes one opponent in its ``OPPONENT``.

A server is a process. It is started with the command of its opponent, prints one line of JSON with its
``port`` (and ``facts`` about itself, if it likes) when it serves on 127.0.0.1, and is ended by a signal. It is
told its workload and the message size. What each workload asks of it:

============ =========================================================================================
echo         send back what comes, until the peer closes
accept       send back one message of ``message_bytes``, then close
bulk_receive count bytes until end of file; answer with the count, 8 bytes little-endian; close
bulk_send    for each request, 8 bytes little-endian, send so many messages of the bytes ``i % 251``
udp_echo     send each datagram back to its sender
udp_receive  count datagrams and bytes; answer an empty datagram with both, 8 bytes little-endian each
============ =========================================================================================
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs

from ..workloads import WORKLOADS


@attrs.frozen
class ServerSettings:
    """What a server is told.

    Args:
      workload: a name in :data:`~tests.bench.workloads.WORKLOADS`.
      message_bytes: the size of one message.
    """

    workload: str
    message_bytes: int


def _nothing_missing() -> str | None:
    return None


@attrs.frozen
class Opponent:
    """One program to measure.

    Args:
      name: on the command line and in results.
      title: for people.
      command: makes the server's command line; it is run in the project's root.
      missing: why it cannot run here, or ``None``.
      workloads: the names of the workloads that it has.
      order: its place in tables.
    """

    name: str
    title: str
    command: Callable[[ServerSettings], list[str]]
    missing: Callable[[], str | None] = _nothing_missing
    workloads: frozenset[str] = frozenset(WORKLOADS)
    order: int = 100


def load_opponents() -> Mapping[str, Opponent]:
    """All opponents by name, in the order of tables."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    found: list[Opponent] = [importlib.import_module(f"{__name__}.{name}").OPPONENT for name in names]
    found.sort(key=lambda opponent: (opponent.order, opponent.name))
    return MappingProxyType({opponent.name: opponent for opponent in found})
