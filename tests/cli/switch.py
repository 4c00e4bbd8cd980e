"""An interpreter with ``trio_rio.pth`` in its site-packages, for tests of TRIO_RIO_INSTALL."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PURELIB = sysconfig.get_path("purelib")

#: What an installation adds to the interpreter.
PTH = ROOT / "trio_rio.pth"


def make_interpreter(folder: Path) -> str:
    """An environment that has the packages of this one, and the switch as an installation would put it there."""
    venv.create(folder, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "packages.pth").write_text(f"{ROOT}\n{PURELIB}\n")  # read before trio_rio.pth
    shutil.copy(PTH, site_packages)
    return str(folder / "bin" / "python")


def environment(**added: str) -> dict[str, str]:
    """The environment without what concerns trio_rio, and with what is added."""
    ours = ("TRIO_RIO_INSTALL", "TRIO_RIO_PROVIDER", "PYTHONPATH")
    return {**{name: value for name, value in os.environ.items() if name not in ours}, **added}


def python(interpreter: str, *arguments: str, cwd: Path, **added: str) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run(
        [interpreter, *arguments],
        cwd=cwd,
        env=environment(**added),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
