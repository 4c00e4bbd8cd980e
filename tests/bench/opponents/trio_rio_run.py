"""trio_rio: the program of stock Trio, the same file, under ``trio_rio.run``."""

from __future__ import annotations

import importlib
from typing import Any

from . import Opponent
from ._python_server import parse_settings, python_command
from ._trio_program import serve


def load_trio_rio() -> Any:
    """The package, if it is there."""
    # By name: the opponents must be listed even where it cannot be imported.
    return importlib.import_module("trio_rio")


def missing() -> str | None:
    """Why it cannot run here, or ``None``."""
    try:
        module = load_trio_rio()
    except ImportError as error:
        return f"trio_rio cannot be imported: {error}"
    return None if hasattr(module, "run") else "this trio_rio has no run()"


def facts() -> dict[str, object]:
    """What the run says about itself."""
    module = load_trio_rio()
    return {
        "provider": module.current_statistics().provider,
        "reason": module.probe().chosen_because,
        "file": str(module.__file__),
    }


OPPONENT = Opponent("trio_rio", "Trio on trio_rio", python_command("trio_rio_run"), missing, order=10)

if __name__ == "__main__":
    load_trio_rio().run(serve, parse_settings(), facts)
