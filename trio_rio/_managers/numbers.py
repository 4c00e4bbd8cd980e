"""The number of a descriptor, or what Trio's own manager says of one that cannot have any.

Facts. Trio's manager on epoll hands what it is given to epoll_ctl(2), by way of Python, which refuses what is no number
of a descriptor. The task is registered by then, and stays so: the next task is told that it is busy, and
``notify_closing`` would wake a task that waits for something else.

Decision. The same errors, before anything is registered. Where there is no epoll the platform's manager says its own.
"""

from __future__ import annotations

import select
from typing import Any

#: No descriptor has a larger one.
NUMBER_MAX = (1 << 31) - 1

_HAS_EPOLL = hasattr(select, "epoll")


def number_of(fd: Any) -> int:
    """The number of ``fd``: itself, or what its ``fileno()`` says.

    Raises:
      ValueError: it is negative, as that of a closed socket is.
      OverflowError: no descriptor has so large a number.
      TypeError: it is none.
    """
    number: Any = fd if isinstance(fd, int) else fd.fileno()
    if _HAS_EPOLL and not (isinstance(number, int) and 0 <= number <= NUMBER_MAX):
        select.poll().register(number)  # says it in Python's own words
    return number  # type: ignore[no-any-return]


def number_to_close(fd: Any) -> int | None:
    """As :func:`number_of`, for ``notify_closing``: ``None`` if it is closed already."""
    try:
        return number_of(fd)
    except ValueError:
        if isinstance(fd, int) or fd.fileno() < 0:
            return None
        raise
