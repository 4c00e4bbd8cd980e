"""The fields of requests, channels, streams and sockets that the engine in C works with; and whether there is one.

Facts. A class inherits its fields from a type of C where the extension was built, and has slots where it was not. The
names are the same, and so is everything that is done with them in Python. The engine in C relies on the GIL, and on the
limited API, which free-threaded builds of CPython do not have. They may find an extension of the limited API all the
same, in a checkout that another Python has built it in: its name ends as theirs may.

Decision. On a free-threaded build it is not even tried. The build counts, and not whether the GIL happens to be on,
since objects are laid out in another way there."""

from __future__ import annotations

import os
import sysconfig
from typing import TYPE_CHECKING, Any

from .._errors import RioError

ENGINE_VARIABLE = "TRIO_RIO_ENGINE"


def engine_of_environment() -> str | None:
    """What the environment asks for.

    Raises:
      RioError: there is no such engine.
    """
    wanted = os.environ.get(ENGINE_VARIABLE) or None
    if wanted not in (None, "native", "python"):
        raise RioError(f"{ENGINE_VARIABLE} must be 'native' or 'python', not {wanted!r}")
    return wanted


def why_not_loaded() -> str | None:
    """Why this process does without the engine in C, wherever it was built; ``None``: it is to be tried."""
    if os.environ.get(ENGINE_VARIABLE) == "python":  # then everything is as where it could not be built
        return f"{ENGINE_VARIABLE} was 'python' when trio_rio was imported"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this Python is free-threaded, and the engine in C relies on the GIL"
    return None


#: The extension, or ``None``; and why there is none.
native: Any = None
native_missing: str | None = why_not_loaded()
if native_missing is None:
    try:
        from . import _native as native  # type: ignore[attr-defined,no-redef]
    except ImportError:
        native_missing = "the engine in C was not built"

if TYPE_CHECKING:  # each class says of its fields what they are

    class CounterFields: ...

    class RequestFields:
        def _set_slice(
            self, slice_: Any, buffer_id: int, offset: int, address_offset: int, view: memoryview | None, /
        ) -> None: ...

    class ChannelFields: ...

    class StreamFields: ...

    class SocketFields: ...

elif native is not None:
    CounterFields = native.CounterFields
    RequestFields, ChannelFields = native.RequestFields, native.ChannelFields
    StreamFields, SocketFields = native.StreamFields, native.SocketFields
else:

    class CounterFields:
        """Of :class:`~.counters.Counters`."""

        __slots__ = (
            "armed", "completions", "dequeues", "dequeues_with_results", "drained_late", "received", "results_max",
            "results_min", "sockets", "window_stalls",
        )  # fmt: skip

        def __init__(self) -> None:
            for name in CounterFields.__slots__:
                setattr(self, name, 0)

    class RequestFields:
        """Of :class:`~.requests.Request`."""

        __slots__ = (
            "channel", "context", "count", "home", "is_receive", "length", "memory", "message", "pool", "raise_cancel",
            "registered", "slice", "state", "status", "task",
        )  # fmt: skip

        def _set_slice(self, slice_: Any, *_: object) -> None:
            self.slice = slice_

    class ChannelFields:
        """Of :class:`~.traffic.Hot`."""

        __slots__ = (
            "fd", "fileno", "is_busy", "is_direct", "is_stream", "pool", "queue", "read_key", "reader",
            "receive_size_bytes", "sends", "turn", "waits", "write_key",
        )  # fmt: skip

    class StreamFields:
        """Of :class:`~.._streams.base.StreamOnSocket`."""

        __slots__ = ("_channel", "_is_sending", "_sock", "socket")

    class SocketFields:
        """Of :class:`~.._sockets.socket.RioSocket`."""

        __slots__ = ()
        _channel = None
        _calls_left = 0
        _begins_in_c = False
