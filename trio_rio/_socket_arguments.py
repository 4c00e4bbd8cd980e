"""Arguments of socket calls, as far as our own code takes them; what it does not take the inherited code judges."""

from __future__ import annotations

import operator
from typing import Any


def size_of(size: Any) -> int:
    """A size as an integer; -1 for what the inherited code must judge."""
    try:
        return operator.index(size)
    except TypeError:
        return -1


def flat_view(data: Any) -> Any:
    """Bytes, or a flat view of bytes; ``None`` for what the inherited code must judge."""
    if type(data) is bytes:
        return data
    try:
        view = memoryview(data)
        return view if view.format == "B" and view.ndim == 1 and view.contiguous else view.cast("B")
    except TypeError:
        return None


def writable_view(buffer: Any, nbytes: int) -> memoryview | None:
    """The part of ``buffer`` to receive into; ``None`` for what the inherited code must judge."""
    try:
        view = memoryview(buffer).cast("B")
    except TypeError:
        return None
    if view.readonly or type(nbytes) is not int or not 0 <= nbytes <= len(view):
        return None
    return view[:nbytes] if nbytes else view
