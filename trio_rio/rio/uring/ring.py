"""The C core of one provider: the ring, and the calls that its port and events need too."""

from __future__ import annotations

import errno
import os
from typing import Any, NoReturn

from ..errors import RioCallError, RioError, RioInternalError
from ..types import PROVIDER_CLOSED
from .system import load_native, unavailable

# Codes of the core, beside Winsock's (``native/rio.h``); of the second it has no need.
_FORKED = 20001
_CLOSED = 20002


class Ring:
    """One ``rio_core``. Belongs to the thread that makes it."""

    def __init__(self, ring_entries: int, withhold_setup_flags: int) -> None:
        self.native: Any = load_native()
        self.ffi: Any = self.native.ffi
        self.lib: Any = self.native.lib
        core, step = self.ffi.new("rio_core **"), self.ffi.new("const char **")
        error = self.lib.rio_core_open(core, ring_entries, withhold_setup_flags, step)
        if error:
            raise unavailable(self.ffi.string(step[0]).decode(), -error)
        self.core: Any = core[0]
        self.is_closed: bool = False

    def raise_for(self, function: str, code: int, detail: str = "") -> NoReturn:
        """See :meth:`Provider.raise_for`."""
        if code == _FORKED:
            raise RioError(
                f"this provider belongs to the process that made it, not to its forked child {os.getpid()}; "
                "make a new one in the child"
            )
        if code == _CLOSED:
            raise RioError(PROVIDER_CLOSED)
        raise RioCallError(function, code, detail)

    def check(self, function: str, code: int, detail: str = "") -> None:
        """As :meth:`raise_for`, unless ``code`` is 0."""
        if code:
            self.raise_for(function, code, detail)

    def check_alive(self) -> None:
        """Raise :class:`RioError` once it is closed, and in a forked child."""
        self.check("provider", self.lib.rio_core_is_usable(self.core) if not self.is_closed else _CLOSED)

    def is_forked(self) -> bool:
        """Whether this is a forked child, and the ring its parent's."""
        return bool(self.lib.rio_core_is_usable(self.core) == _FORKED)

    def wait(self, port: int, timeout_ns: int, events: object, limit: int) -> int:
        """Drive the ring once (``rio_wait``); -EINTR is returned, other failures raise. ``port`` is a handle."""
        count: int = self.lib.rio_wait(self.core, port, timeout_ns, events, limit)
        if count < 0 and count != -errno.EINTR:
            self.check_alive()
            if count == -errno.EINVAL:
                raise RioError("this port is closed")
            raise RioInternalError(f"waiting on the ring failed: {os.strerror(-count)} ({-count})")
        return count

    def wake(self, port: int = 0) -> None:
        """Make a wait for the port return; from any thread."""
        self.check("wake", self.lib.rio_wake(self.core, port))
