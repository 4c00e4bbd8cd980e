"""Receives with flags, while receives are posted ahead.

Facts. A receive that is posted ahead takes what is in the socket's receive queue. Errors and notifications of the
system (MSG_ERRQUEUE) and urgent bytes (MSG_OOB) are elsewhere, and no posted receive takes them.

Decision. Flags that make no difference are removed, a peek is served from what was received ahead, and a receive from
elsewhere is the system's own call, which waits for the socket itself."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from .._engine.current import current_engine

if TYPE_CHECKING:
    from .._engine.read_ahead import ReadAhead

T = TypeVar("T")

#: Flags of receives from elsewhere, which no posted receive can serve.
ELSEWHERE: int = getattr(socket, "MSG_ERRQUEUE", 0) | socket.MSG_OOB

# Flags that make no difference to a socket that does not block.
_WITHOUT_EFFECT: int = 0
if hasattr(socket, "MSG_DONTWAIT"):
    _WITHOUT_EFFECT = socket.MSG_DONTWAIT | socket.MSG_WAITALL | getattr(socket, "MSG_NOSIGNAL", 0)
    _WITHOUT_EFFECT |= getattr(socket, "MSG_CMSG_CLOEXEC", 0)


async def receive_ahead(ahead: ReadAhead, flags: int, read: Callable[..., T]) -> T | None:
    """Receive what comes ahead, by a reading method of ``ahead``; ``None``: go Trio's own way. A checkpoint.

    Raises:
      OSError: the receive failed; or, what comes ahead cannot be received with these flags.
    """
    flags &= ~_WITHOUT_EFFECT
    if not flags & ~socket.MSG_PEEK:
        return await ahead.receive(0, partial(read, peek=bool(flags)))  # type: ignore[no-any-return]
    if not ahead.is_ahead:
        return None
    raise OSError(f"flags {flags:#x} cannot be used while receives are posted ahead: RioConfig(read_ahead=...)")


def refuse_ancillary_data(ahead: ReadAhead, size: int) -> None:
    """Raise OSError where ancillary data is asked for that a receive which is posted ahead has not kept."""
    if size and not ahead.traffic.is_stream:
        raise OSError("ancillary data is lost while receives are posted ahead: RioConfig(read_ahead=...)")


def as_of_recvmsg(received: T, address: Any, is_longer: bool) -> tuple[T, list[Any], int, Any]:
    """What came ahead, in the form that recvmsg and recvmsg_into return."""
    return received, [], int(socket.MSG_TRUNC) if is_longer else 0, address


async def receive_elsewhere(sock: socket.socket, method: Callable[..., T], *args: object) -> T:
    """Receive with a flag of :data:`ELSEWHERE`: call the method of the stdlib socket until it does not block."""
    await trio.lowlevel.checkpoint_if_cancelled()
    try:
        result = method(sock, *args)
    except (BlockingIOError, InterruptedError):
        pass
    except BaseException:
        await trio.lowlevel.cancel_shielded_checkpoint()
        raise
    else:
        await trio.lowlevel.cancel_shielded_checkpoint()
        return result
    engine = current_engine()
    while True:
        if engine is None:
            await trio.lowlevel.wait_readable(sock)
        else:
            await engine.wait_elsewhere(sock.fileno())
        try:
            return method(sock, *args)
        except (BlockingIOError, InterruptedError):
            continue
