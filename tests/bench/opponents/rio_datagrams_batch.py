"""A DatagramChannel of trio_rio, batch by batch."""

from __future__ import annotations

from . import Opponent
from ._datagram_program import IN_BATCHES, missing, serve, trio_rio
from ._python_server import parse_settings, python_command

OPPONENT = Opponent(
    "rio_datagrams_batch",
    "trio_rio's DatagramChannel, in batches",
    python_command("rio_datagrams_batch"),
    missing,
    frozenset(IN_BATCHES),
    order=15,
)

if __name__ == "__main__":
    trio_rio().run(serve, IN_BATCHES, parse_settings())
