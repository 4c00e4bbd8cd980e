"""The fields of requests, channels, streams and sockets that the engine in C works with; and whether there is one.

Facts. A class inherits its fields from a type of C where the extension was built, and has slots where it was not. The
names are the same, and so is everything that is done with them in Python."""

from __future__ import annotations

import os
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


native: Any
try:
    if os.environ.get(ENGINE_VARIABLE) == "python":  # then everything is as where it could not be built
        raise ImportError
    from . import _native as native  # type: ignore[attr-defined,no-redef]
except ImportError:
    native = None

if TYPE_CHECKING:  # each class says of its fields what they are

    class RequestFields:
        def _set_slice(
            self, slice_: Any, buffer_id: int, offset: int, address_offset: int, view: memoryview | None, /
        ) -> None: ...

    class ChannelFields: ...

    class StreamFields: ...

    class SocketFields: ...

elif native is not None:
    RequestFields, ChannelFields = native.RequestFields, native.ChannelFields
    StreamFields, SocketFields = native.StreamFields, native.SocketFields
else:

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
