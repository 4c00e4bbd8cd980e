"""What can go wrong in a benchmark."""

from __future__ import annotations


class BenchError(Exception):
    """The benchmark cannot go on; the message says why, and the remedy where there is one."""


class ServerError(BenchError):
    """A server did not start, or ended in the middle of a run."""


class LoadError(BenchError):
    """The load generator refused its options, or found the server at fault.

    Args:
      kind: ``corrupt``, ``timeout``, ``closed_early``, ``count_mismatch``, ``connect``, ``usage``, ``system``,
        or ``generator`` when the generator itself ended without a result; of a client program, its name.
      detail: a sentence for people.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
