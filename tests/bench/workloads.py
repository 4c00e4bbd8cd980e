"""The work that is measured, as data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import attrs

Discipline: TypeAlias = Literal["lockstep", "rate"]
DISCIPLINES: tuple[Discipline, ...] = ("lockstep", "rate")


@attrs.frozen
class Shape:
    """How much at once.

    Args:
      connections: sockets of the load generator: TCP connections, or UDP peers.
      message_bytes: payload of one message, or of one ``send_all`` in bulk_send.
      pipeline: messages that are sent before the first answer is awaited, on each connection.
    """

    connections: int
    message_bytes: int
    pipeline: int = 1


@attrs.frozen
class Workload:
    """One kind of work for a server.

    Args:
      name: also the mode of the load generator, and what the server is told to do.
      description: what the server does, in a sentence.
      unit: what the figures count.
      shapes: what is measured when nothing else is asked for.
      quick_shapes: the same for a quick look.
    """

    name: str
    description: str
    unit: Literal["message", "MB"]
    shapes: tuple[Shape, ...]
    quick_shapes: tuple[Shape, ...]


def _index(*workloads: Workload) -> Mapping[str, Workload]:
    return MappingProxyType({workload.name: workload for workload in workloads})


WORKLOADS = _index(
    Workload(
        "echo",
        "TCP: receive some bytes, send them back",
        "message",
        (
            Shape(1, 64),
            Shape(10, 64),
            Shape(100, 64),
            Shape(1000, 64),
            Shape(100, 16384),
            Shape(10, 64, pipeline=16),
        ),
        (Shape(1, 64), Shape(100, 64)),
    ),
    Workload(
        "udp_echo",
        "UDP: receive a datagram, send it back to where it came from",
        "message",
        (Shape(1, 64), Shape(64, 64)),
        (Shape(64, 64),),
    ),
    Workload(
        "udp_receive",
        "UDP: receive and count datagrams",
        "message",
        (Shape(1, 64, pipeline=128),),
        (Shape(1, 64, pipeline=128),),
    ),
    Workload(
        "bulk_receive",
        "TCP: receive and count bytes until end of file",
        "MB",
        (Shape(1, 262144),),
        (Shape(1, 262144),),
    ),
    Workload(
        "bulk_send",
        "TCP: send the number of messages that is asked for",
        "MB",
        (Shape(1, 262144),),
        (Shape(1, 262144),),
    ),
    Workload(
        "accept",
        "TCP: accept, send one message back, close",
        "message",
        (Shape(10, 64),),
        (Shape(10, 64),),
    ),
)
