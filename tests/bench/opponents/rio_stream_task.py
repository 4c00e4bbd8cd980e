"""RioStream where the notifier task does every cycle itself: ``RioConfig(notifier="task")``."""

from __future__ import annotations

import functools

from . import Opponent
from ._python_server import parse_settings, python_command
from ._trio_program import serve
from .trio_rio_run import facts, load_trio_rio, missing

OPPONENT = Opponent(
    "rio_stream_task",
    "RioStream, notifier task",
    python_command("rio_stream_task"),
    missing,
    workloads=frozenset({"accept", "echo"}),
    order=12,
)

if __name__ == "__main__":
    trio_rio = load_trio_rio()
    program = functools.partial(serve, serve_tcp=trio_rio.serve_tcp)
    trio_rio.run(program, parse_settings(), facts, config=trio_rio.RioConfig(notifier="task"))
