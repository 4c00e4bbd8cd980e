"""Whether a Trio socket is the only one that has its stdlib socket, and whether another may get its file.

Facts. ``from_stdlib_socket`` leaves a program with a name of its own for the stdlib socket. ``close()`` by that name
tells Trio nothing; the descriptor is closed, and on stock Trio the peer sees it at once, whatever waits. Where a
request in flight keeps its file open (:attr:`Provider.holds_files`) the peer would not. Python counts references to an
object; how many of them are the question's own differs by version.

Decision. A socket that the program can close by another name goes Trio's own way, in which nothing of it is in the
kernel, as long as that name lives: it gets no channel before. One that has a channel was found to have no other name,
and new names come only from inside of a Trio socket. What the count is for a socket without another name is found by
trying. The first call in another run still finds what the run before had of the socket.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

from .._engine.current import current_engine

if TYPE_CHECKING:
    from .._engine.channel import Channel

# Not every Python counts references.
_count_references = getattr(sys, "getrefcount", None)


class _Holder:
    def __init__(self, sock: object) -> None:
        self._sock = sock


def _references(holder: Any) -> int:
    return 0 if _count_references is None else _count_references(holder._sock)


_REFERENCES_IF_SOLE = _references(_Holder(object()))


def is_sole(holder: Any) -> bool:
    """Whether nobody but ``holder``, a Trio socket without a channel, has the socket inside it."""
    return _references(holder) <= _REFERENCES_IF_SOLE


def refuse_to_share(sock: socket.socket, channel: Channel | None, name: str, *, ends: bool = False) -> None:
    """Another handle of the socket must not miss what this one has taken, or will take unless it ``ends``.

    Raises:
      OSError: it would, if it were made, says ``name``, the call that makes it.
    """
    engine = current_engine()
    if engine is not None and engine.packet_handlers.owner_of(sock) is not None:
        raise OSError(f"{name} would lose datagrams: the socket is that of a DatagramChannel")
    if channel is None or channel.is_closed or channel.engine.is_closed:
        return
    ahead = channel.ahead
    is_in_use = channel.window is not None and bool(channel.sends)
    if ahead is not None and not is_in_use:
        is_waited_for = channel.ahead_waiter is not None and not ends
        # What has come is known only when no receive is posted any more.
        is_taken_back = channel.is_usable() and not is_waited_for and ahead.take_back()
        is_in_use = bool(ahead.posted or ahead.has_unread()) or not is_taken_back
    if is_in_use:
        raise OSError(f"{name} would lose bytes that are received ahead, or that are being sent")
