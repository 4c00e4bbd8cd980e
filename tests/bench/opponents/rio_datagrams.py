"""A DatagramChannel of trio_rio, datagram by datagram."""

from __future__ import annotations

from . import Opponent
from ._datagram_program import ONE_BY_ONE, missing, serve, trio_rio
from ._python_server import parse_settings, python_command

OPPONENT = Opponent(
    "rio_datagrams",
    "trio_rio's DatagramChannel, one by one",
    python_command("rio_datagrams"),
    missing,
    frozenset(ONE_BY_ONE),
    order=14,
)

if __name__ == "__main__":
    trio_rio().run(serve, ONE_BY_ONE, parse_settings())
