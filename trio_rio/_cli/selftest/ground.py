"""The ground of a probe: what it is given to work with."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

import attrs

from ...rio import RawResult, status_name
from .bench import Bench
from .raw import RawTable, collect, raw_table


@attrs.define(eq=False)
class Ground:
    """Sockets from the bench, and the raw function table with one queue and one buffer."""

    bench: Bench
    table: RawTable
    cq: Any
    memory: bytearray
    buffer: Any

    @classmethod
    def make(cls, bench: Bench, queue_size: int = 1024) -> Ground:
        """Make it on a bench, with 1 MiB of memory."""
        table = raw_table(bench.provider)
        memory = bytearray(1 << 20)
        return cls(bench, table, table.cq(queue_size)[0], memory, table.register(memory)[0])

    def rq(self, sock: socket.socket, receives: int = 8, sends: int = 8) -> Any:
        """A request queue; a refusal is an error."""
        rq, code = self.table.rq(sock, self.cq, receives, sends)
        if code:
            raise RuntimeError(f"RIOCreateRequestQueue: {status_name(code)}")
        return rq

    def receive(self, rq: Any, slot: int = 0, length: int = 4096, flags: int = 0) -> int:
        """RIOReceive into slot ``slot`` of 4096 bytes."""
        return self.table.receive(rq, self.buffer, slot * 4096, length, slot, flags)

    def collect(self, count: int, seconds: float = 2.0) -> list[RawResult]:
        """Results, as many as come in time."""
        return collect(self.table, self.cq, count, seconds)

    def endings_of(self, count: int, seconds: float = 2.0) -> str:
        """How they ended, in words."""
        return endings(self.collect(count, seconds))


def endings(results: list[RawResult]) -> str:
    """How requests ended, in words."""
    counts = Counter((status, count) for status, count, _, _ in results)
    words = [f"{number} x {status_name(status) if status else 'success'}, {size} bytes"
             for (status, size), number in counts.items()]  # fmt: skip
    return "; ".join(words) or "no result within the time"
