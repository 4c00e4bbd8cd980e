"""Bytes with nothing in them yet, for the kernel to fill.

Facts. ``PyBytes_FromStringAndSize(NULL, n)`` makes bytes whose content is not set; it may be written as long as nobody
else has seen the object [Python/C API, Bytes Objects]. That is how ``socket.recv`` saves a copy. ``bytes(n)`` would
write zeros first.

Decision. The same function through ``ctypes``, where there is one (CPython). Memory that was not written yet must never
reach a caller: its users hand out nothing but what a receive has filled.
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


#: Makes bytes of this size with any content, at least 2; ``None`` where that cannot be had.
new_bytes = _find()
