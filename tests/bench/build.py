"""Compile the C programs of the benchmark at run time, once for each state of their sources."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .errors import BenchError

FOLDER = Path(__file__).parent
FLAGS = ("-O2", "-g", "-std=gnu11", "-Wall", "-Wextra")
COMPILE_TIMEOUT_SECONDS = 120.0


def find_compiler() -> list[str] | None:
    """The C compiler's command: ``$CC``, else gcc, cc or clang; ``None`` when there is none."""
    chosen = os.environ.get("CC")
    candidates = [shlex.split(chosen)] if chosen else [["gcc"], ["cc"], ["clang"]]
    for command in candidates:
        if command and shutil.which(command[0]):
            return command
    return None


def cache_folder() -> Path:
    """Where compiled programs are kept: ``$XDG_CACHE_HOME/trio_rio/bench``."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "trio_rio" / "bench"


def compiled(name: str) -> Path:
    """The path of the program made from the C files in the folder ``name``, compiled if it is not there yet.

    Raises:
      BenchError: not Linux, no compiler, or the compiler refuses the sources.
    """
    if sys.platform != "linux":
        raise BenchError(f"the benchmark needs Linux (epoll, CPU affinity); this is {sys.platform}")
    compiler = find_compiler()
    if compiler is None:
        raise BenchError(
            "no C compiler found, and the benchmark's load generator is in C. Remedy: install gcc "
            "(Debian: apt install gcc libc6-dev), or name a compiler in the environment variable CC"
        )
    sources = sorted((FOLDER / name).glob("*.[ch]"))
    digest = hashlib.sha256(repr((compiler, FLAGS)).encode())
    for source in sources:
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    target = cache_folder() / f"{name}-{digest.hexdigest()[:16]}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _compile([*compiler, *FLAGS], [source for source in sources if source.suffix == ".c"], target)
    return target


def _compile(command: list[str], sources: list[Path], target: Path) -> None:
    # Into a folder of its own first: two runs may compile at the same time, and one may be stopped.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        program = Path(folder) / target.name
        result = subprocess.run(
            [*command, "-o", str(program), *map(str, sources)],
            capture_output=True,
            text=True,
            timeout=COMPILE_TIMEOUT_SECONDS,
        )
        if result.returncode:
            raise BenchError(f"{shlex.join(command)} could not compile {sources[0].parent}:\n{result.stderr.strip()}")
        program.replace(target)
