"""Copies between registered memory and memory of a caller.

Facts. Touching a page of a file that was truncated after it was mapped kills the process (SIGBUS); the kernel, when it
is to copy from or to such a page, answers EFAULT. Nothing tells such memory by looks: arrays of other libraries, shared
memory, and what ctypes and cffi make may all be of that kind. Bytes, bytearrays and arrays have ordinary memory.

While anybody has a view of a bytearray or an array, it cannot be resized.

Decision. Ordinary memory is copied here. For any other the kernel copies, or fails: by the call of the socket itself
where that is possible, else through a pipe. A view of what can be resized lives no longer than a copy."""

from __future__ import annotations

import os
from array import array
from typing import Any

_ORDINARY = frozenset((bytes, bytearray, array))

# What a pipe takes at once, usually.
_AT_ONCE_BYTES = 65536


def is_ordinary(data: Any) -> bool:
    """Whether the memory of an object, or of what a memoryview is of, can be touched without danger."""
    kind = type(data)
    return (type(data.obj) if kind is memoryview else kind) in _ORDINARY


def copy(target: memoryview, source: bytes | bytearray | memoryview) -> None:
    """Copy all of ``source`` into ``target``, which has the same size, wherever both are.

    Raises:
      OSError: EFAULT: there is no such memory any more.
    """
    if not hasattr(os, "readv"):  # Windows keeps a file that is mapped as long as it is
        target[:] = source
        return
    with memoryview(source) as view:
        ends = os.pipe()
        try:
            os.set_blocking(ends[1], False)
            at = 0
            while at < len(view):
                written = os.write(ends[1], view[at : at + _AT_ONCE_BYTES])
                end = at + written
                while at < end:
                    at += os.readv(ends[0], [target[at:end]])
        finally:
            os.close(ends[0])
            os.close(ends[1])


def copy_to_all(targets: list[memoryview], source: memoryview) -> int:
    """Fill one after the other, as far as there is room and source; how many bytes."""
    at = 0
    for target in targets:
        size = min(len(target), len(source) - at)
        if not size:
            continue
        if is_ordinary(target):
            target[:size] = source[at : at + size]
        else:
            copy(target[:size], source[at : at + size])
        at += size
    return at


def bytes_of(data: Any) -> bytes:
    """A copy of what has a buffer.

    Raises:
      TypeError: it has none.
      OSError: as :func:`copy`.
    """
    with memoryview(data) as view:
        if is_ordinary(view) or not view.contiguous:
            return view.tobytes()
        made = bytearray(view.nbytes)
        with view.cast("B") as flat, memoryview(made) as target:
            copy(target, flat)
        return bytes(made)
