"""Stock Trio: the program under ``trio.run``."""

from __future__ import annotations

import trio

from . import Opponent
from ._python_server import parse_settings, python_command
from ._trio_program import serve

OPPONENT = Opponent("trio", "stock Trio", python_command("trio_stock"), order=0)


def _facts() -> dict[str, object]:
    return {"version": trio.__version__, "backend": trio.lowlevel.current_statistics().io_statistics.backend}


if __name__ == "__main__":
    trio.run(serve, parse_settings(), _facts)
