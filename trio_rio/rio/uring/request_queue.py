"""The request queue of this provider: its flat functions are made when they are first asked for.

Facts. A flat function is a function of the core with two arguments bound. There are eight, and an engine in C calls
none of them. Made with each queue they are half of the objects that a new channel consists of, and of what the garbage
collector is woken for when a thousand connections come at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..types import RequestQueue

if TYPE_CHECKING:
    import socket

    from ..types import HandleProvider

# What each is in the core.
_FUNCTIONS = {
    "post_receive": "rio_receive",
    "post_send": "rio_send",
    "post_receive_from": "rio_receive_from",
    "post_send_to": "rio_send_to",
    "commit_receives": "rio_commit",
    "commit_sends": "rio_commit",
    "send_now": "rio_send_now",
    "receives_rest": "rio_receives_rest",
}


class UringRequestQueue(RequestQueue):
    """See the module's docstring. ``handle`` is the core's number for it."""

    __slots__ = ()

    def __init__(self, provider: HandleProvider, sock: socket.socket, socket_context: int, handle: object) -> None:
        self.provider = provider
        self.socket = sock
        self.socket_context = socket_context
        self.handle = handle
        self.is_closed = False

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Make a flat function, for good: this is only called for what is not there yet."""
            if name not in _FUNCTIONS:
                raise AttributeError(f"a RequestQueue has no attribute {name!r}")
            provider = self.provider
            setattr(self, name, partial(getattr(provider.lib, _FUNCTIONS[name]), provider.core, self.handle))
            if self.is_closed:  # by another thread, meanwhile: what that has stored must be there, and not this
                self.mark_closed()
            return getattr(self, name)
