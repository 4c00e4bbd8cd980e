"""New bytes objects with arbitrary content, for the kernel to fill.

Facts. ``PyBytes_FromStringAndSize(NULL, n)`` makes bytes whose content is not set; it may be written as long as no
other code has seen the object [Python/C API, Bytes Objects]. That is how ``socket.recv`` saves a copy. ``bytes(n)``
would write zeros first.

Decision. The same function through ``ctypes``, where there is one (CPython). Memory that was not written yet must never
reach a user of the package: the callers here hand out only what a receive has filled.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any


def _find() -> Callable[[int], bytes] | None:
    if sys.implementation.name != "cpython":
        return None
    function: Any = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_char_p, ctypes.c_ssize_t)(
        ("PyBytes_FromStringAndSize", ctypes.pythonapi)
    )

    def new_bytes(size_bytes: int) -> bytes:
        made: bytes = function(None, size_bytes)
        return made

    return new_bytes


#: Makes bytes of this size (2 or more) with arbitrary content; ``None`` where that is not possible.
new_bytes: Callable[[int], bytes] | None = _find()
