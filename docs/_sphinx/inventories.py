"""The names of Python's and Trio's documentation that ours may link to.

Sphinx reads a binary file that it would fetch from the other project's site. A build must not need a network, nor find
other names on another day. So the names stand as text in ``docs/_inventories``, and are packed when a build begins. A
line is a name, its kind, and its page.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
import zlib
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "_inventories"
ADDRESSES = {"python": "https://docs.python.org/3/", "trio": "https://trio.readthedocs.io/en/stable/"}


def packed(name: str) -> str:
    """Pack the list of that name as Sphinx wants it; the path of the file, which goes with this process."""
    lines = []
    for line in (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        what, kind, page = line.split()
        lines.append(f"{what} {kind} 1 {page}#$ -")
    header = f"# Sphinx inventory version 2\n# Project: {name}\n# Version: \n# The rest is compressed with zlib.\n"
    folder = Path(tempfile.mkdtemp(prefix="trio_rio-docs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"{name}.inv"
    path.write_bytes(header.encode() + zlib.compress("\n".join([*lines, ""]).encode()))
    return str(path)
