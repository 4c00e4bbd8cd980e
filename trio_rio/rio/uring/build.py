"""Build description of the C core: cffi API mode, no library beside libc.

The declarations that Python sees are read from ``native/rio.h`` itself, so that there is one copy of them. The
module keeps to the limited API of CPython, so one binary serves every version (cffi does that by itself, except
on free-threaded builds, which have no limited API yet).
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

_NATIVE = Path(__file__).parents[1] / "native"
_ROOT = Path(__file__).parents[3]


def _declarations() -> str:
    """``rio.h`` without what cffi's parser does not know: include guards and includes."""
    lines = (_NATIVE / "rio.h").read_text(encoding="utf-8").splitlines()
    skipped = ("#ifndef", "#endif", "#include", "#define TRIO_RIO_H")
    return "\n".join(line for line in lines if not line.startswith(skipped))


ffibuilder: FFI = FFI()
ffibuilder.cdef(_declarations())
ffibuilder.set_source(
    "trio_rio.rio._uring_native",
    '#include "rio.h"',
    # Relative to the project's root, where setuptools runs.
    sources=[str(path.relative_to(_ROOT)) for path in sorted(_NATIVE.glob("*.c"))],
    depends=[str(path.relative_to(_ROOT)) for path in sorted(_NATIVE.glob("*.h"))],
    include_dirs=[str(_NATIVE.relative_to(_ROOT))],
    extra_compile_args=["-std=c11", "-Wall", "-Wextra"],
    optional=True,
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=str(_ROOT), verbose=True)
