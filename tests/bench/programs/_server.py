"""What every server here shares: whose ``run`` it is run by, and its first line of output."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from ..opponents._python_server import announce
from ..opponents.trio_rio_run import facts as trio_rio_facts, load_trio_rio


def parser() -> argparse.ArgumentParser:
    """A parser of the command line of a server."""
    made = argparse.ArgumentParser()
    made.add_argument("runner", choices=("trio", "trio_rio"))
    return made


def run(runner: str, serve: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """``serve(say_port, *arguments)`` on one runner; ``say_port(port)`` tells the parent that it serves."""

    def say_port(port: int) -> None:
        announce(port, trio_rio_facts() if runner == "trio_rio" else {"version": trio.__version__})

    run_function = load_trio_rio().run if runner == "trio_rio" else trio.run
    run_function(functools.partial(serve, say_port, *arguments))
