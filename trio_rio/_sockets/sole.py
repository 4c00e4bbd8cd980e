"""Whether a Trio socket is the only holder of its stdlib socket, and whether its file may be shared.

Facts. ``from_stdlib_socket`` leaves a program with a name of its own for the stdlib socket. ``close()`` by that name
tells Trio nothing; the descriptor is closed, and on stock Trio the peer sees it at once, whatever waits. Where a
request in flight keeps its file open (:attr:`Provider.holds_files`) the peer would not. Python counts references to an
object; how many of them come from asking differs by version.

Decision. As long as the program has another name for a socket, it gets no channel and goes Trio's own way, which leaves
nothing of it in the kernel. A socket that has a channel was found to have no other name, and new names come only from
inside of a Trio socket. The count for a socket without another name is found by trying. A channel of an earlier run
must be dropped before the count, since it has a name for the socket too.
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
    """Refuse the call ``name`` where the handle that it makes would miss what this socket receives, or is sending.

    Raises:
      OSError: it would miss what has come already; or what will come, unless this socket ``ends`` with the call.
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
