"""The workloads, and how each is put on a server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import attrs

from ..load import ConnectLoad, EchoLoad, connections, datagram_sockets

#: Exchanges messages for so many seconds; how many there were, and the seconds that it really took.
Load = Callable[[float], tuple[int, float]]


@attrs.frozen
class Workload:
    """One kind of work for a server.

    Args:
      name: on the command line.
      title: in the table.
      unit: what is counted, one of them.
      port: which of the server's ports.
      clients: sockets at once; 0 for one connection after the other.
    """

    name: str
    title: str
    unit: str
    port: str
    clients: int

    @contextlib.contextmanager
    def load_on(self, ports: Mapping[str, int]) -> Iterator[Load]:
        """The load, connected; its sockets are closed at the end."""
        port = ports[self.port]
        if not self.clients:
            yield ConnectLoad(port).run
            return
        open_sockets = datagram_sockets if self.port == "udp" else connections
        with open_sockets(port, self.clients) as sockets:
            yield EchoLoad(sockets).run


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("echo-1", "TCP echo of 64 bytes, 1 connection", "message", "echo", 1),
        Workload("echo-100", "TCP echo of 64 bytes, 100 connections", "message", "echo", 100),
        Workload("accept", "accept, echo 64 bytes, close", "connection", "accept", 0),
        Workload("udp", "UDP echo of 64 bytes, 10 sockets", "datagram", "udp", 10),
    )
}
