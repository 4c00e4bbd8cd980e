"""The sockets of a run that RIO can serve.

Facts. On Windows only a socket that was made for RIO can have a request queue, or one that such a socket has accepted.
A request queue for another accepted socket is made without complaint, and a receive on it never completes. A socket
object does not tell how it was made, nor whether it has had its request queue, of which there is one in its life.

Decision. A run remembers the sockets that it has made so, and what they have accepted, for as long as these live. All
others, those of an earlier run among them, go Trio's own way. Elsewhere RIO serves every socket that it has a kind for.
"""

from __future__ import annotations

import socket
import weakref

import attrs

from ..rio import Provider
from ..rio.checks import can_serve


@attrs.define(eq=False)
class OwnSockets:
    """See the module's docstring."""

    provider: Provider
    _own: weakref.WeakSet[socket.socket] = attrs.field(factory=weakref.WeakSet)

    def make(self, family: int, type: int, proto: int) -> socket.socket:
        """A socket that can have a request queue, if RIO has such; else a plain one."""
        sock = self.provider.make_socket(family, type, proto)
        if self.provider.serves_own_sockets_only:
            self._own.add(sock)
        return sock

    def adopt_accepted(self, listener: socket.socket, accepted: socket.socket) -> None:
        """``listener`` has accepted a connection: if RIO serves the one it serves the other."""
        if self.provider.serves_own_sockets_only and listener in self._own:
            self._own.add(accepted)

    def forget(self, sock: socket.socket) -> None:
        """RIO has refused a request queue for the socket, and would again."""
        self._own.discard(sock)

    def can_serve(self, sock: socket.socket) -> bool:
        """Whether a request queue can be made for the socket, as far as its kind and its origin tell."""
        return can_serve(sock) and (not self.provider.serves_own_sockets_only or sock in self._own)
