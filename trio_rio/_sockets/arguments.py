"""Arguments of socket calls in the form that our own code uses; all others are left to the inherited code to judge."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterable, Iterator
from typing import Any


def size_of(size: Any) -> int:
    """A size as an integer; -1 for what the inherited code must judge."""
    try:
        return operator.index(size)
    except TypeError:
        return -1


def flat_data(data: Any) -> Any:
    """Bytes and bytearrays as they are, a memoryview flat; ``None`` leaves the call to the inherited code.

    A bytearray is not exported by this, so that it can be resized while a task waits.
    """
    kind = type(data)
    if kind is bytes or kind is bytearray:
        return data
    if kind is not memoryview:
        return None
    try:
        return data if data.format == "B" and data.ndim == 1 and data.contiguous else data.cast("B")
    except TypeError:
        return None


def room_in(buffer: Any, nbytes: int) -> int:
    """How many bytes are to be received into ``buffer``; -1 for what the inherited code must judge."""
    view = writable_view(buffer, nbytes)
    return -1 if view is None else len(view)


@contextlib.contextmanager
def views_of(buffers: Iterable[Any], nbytes: int = 0) -> Iterator[list[memoryview]]:
    """Flat views of the buffers to receive into, until the end of the block.

    Raises:
      ValueError: a buffer has become smaller than ``nbytes``, or a memoryview was released.
    """
    with contextlib.ExitStack() as stack:
        views = [stack.enter_context(memoryview(buffer)) for buffer in buffers]
        flat = [stack.enter_context(view.cast("B")) for view in views]
        if nbytes:
            if nbytes > len(flat[0]):
                raise ValueError("buffer too small for requested bytes")
            flat[0] = stack.enter_context(flat[0][:nbytes])
        yield flat


def writable_view(buffer: Any, nbytes: int) -> memoryview | None:
    """The part of ``buffer`` to receive into; ``None`` for what the inherited code must judge."""
    try:
        view = memoryview(buffer).cast("B")
    except TypeError:
        return None
    if view.readonly or type(nbytes) is not int or not 0 <= nbytes <= len(view):
        return None
    return view[:nbytes] if nbytes else view
