"""RioStream: the program of stock Trio on trio_rio's own streams: ``trio_rio.serve_tcp`` in place of Trio's."""

from __future__ import annotations

import functools

from . import Opponent
from ._python_server import parse_settings, python_command
from ._trio_program import serve
from .trio_rio_run import facts, load_trio_rio, missing

OPPONENT = Opponent(
    "rio_stream",
    "RioStream on trio_rio",
    python_command("rio_stream"),
    missing,
    workloads=frozenset({"accept", "bulk_receive", "bulk_send", "echo"}),
    order=11,
)

if __name__ == "__main__":
    load_trio_rio().run(functools.partial(serve, serve_tcp=load_trio_rio().serve_tcp), parse_settings(), facts)
