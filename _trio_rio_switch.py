"""TRIO_RIO_INSTALL=1: every interpreter of this environment puts the runs of its program on trio_rio.

Facts. Children of a program, those of multiprocessing and of subprocess, inherit its environment and nothing else.
``site`` executes the lines of ``.pth`` files at the start of each interpreter, before it is known what the program will
do; not with -S. Importing Trio takes a tenth of a second.

Decision. ``trio_rio.pth`` looks at the variable, and calls :func:`start` where it is set. That only asks to be told
when ``trio`` is imported; then :func:`trio_rio.install` follows. This module is not in the package, since importing a
module of a package imports the package first, and so Trio. Whatever goes wrong is one line in the log, and the program
goes on with stock Trio: nobody may lose an interpreter to a variable.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing itself need not be imported at the start of every interpreter
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

VARIABLE = "TRIO_RIO_INSTALL"


def start() -> None:
    """Have trio_rio installed as soon as the program imports Trio; ``trio_rio.pth`` calls this."""
    # -E and -I: as for the variables of Python itself.
    if sys.flags.ignore_environment or os.environ.get(VARIABLE) in (None, "", "0"):
        return
    if "trio" in sys.modules:  # another .pth file was faster
        _install()
    elif not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())


class _Watch:
    """Is asked for every module first, and finds none itself: it sees when the two packages have been imported."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find one of the two packages as if this were not here, and have :meth:`loaded` called when it is complete."""
        if name not in ("trio", "trio_rio"):
            return None
        for finder in [*sys.meta_path]:
            find_spec = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find_spec is None else find_spec(name, path, target)
            if spec is not None:
                self._follow(spec.loader, name)
                return spec
        return None

    def _follow(self, loader: Any, name: str) -> None:
        """Have a loader call :meth:`loaded` after it has executed the module, once."""

        def exec_module(module: ModuleType) -> None:
            execute(module)
            if module.__name__ == name:
                vars(loader).pop("exec_module", None)
                self.loaded(name)

        try:
            execute = loader.exec_module
            loader.exec_module = exec_module
        except AttributeError as error:
            _complain(error)

    def loaded(self, name: str) -> None:
        """One of the packages is complete; trio_rio imports Trio itself, and may be in the middle of that."""
        if name == "trio" and "trio_rio" in sys.modules:
            return  # comes here as well, when it is complete
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        _install()


def _install() -> None:
    try:
        if os.environ.get(VARIABLE) != "1":
            raise ValueError("it must be 1 or 0")
        import trio_rio

        trio_rio.install()
    except Exception as error:
        _complain(error)


def _complain(error: Exception) -> None:
    import logging

    logging.getLogger("trio_rio").error(
        "%s=%s: %s; the runs of this process are stock Trio's", VARIABLE, os.environ.get(VARIABLE), error
    )
