"""Checks of arguments that every provider makes alike: what the function table answers with WSAEINVAL and its kin."""

from __future__ import annotations

import _socket
import ctypes
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from .addresses import SOCKADDR_INET_SIZE_BYTES
from .errors import RioCallError, RioError, Status
from .types import (
    ALL_FLAGS,
    NO_BUFFER,
    RIO_MAX_CQ_SIZE,
    RIO_MSG_COMMIT_ONLY,
    RIO_MSG_WAITALL,
    SOCKET_CLOSED,
    BufferSlice,
    CompletionQueue,
    Event,
    Notification,
    Port,
    PortNotification,
    RequestQueue,
)

CONTEXT_MAX = (1 << 63) - 1

# Family and type as plain numbers: the properties of socket.socket make an enum member of each, every time.
raw_family: Callable[[socket.socket], int] = _socket.socket.family.__get__
raw_type: Callable[[socket.socket], int] = _socket.socket.type.__get__
_FAMILIES = {int(socket.AF_INET), int(socket.AF_INET6)}
_TYPES = {int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM)}
_OUTSTANDING_MAX = (1 << 32) - 1


def check_request_queue_arguments(
    provider: object,
    sock: socket.socket,
    limits: tuple[int, int],
    data_buffers: tuple[int, int],
    completion_queues: tuple[CompletionQueue, CompletionQueue],
    socket_context: int,
) -> None:
    """Raise what RIOCreateRequestQueue would answer, as far as it can be known without the queues' state.

    Pairs are (receive, send).
    """
    function = "RIOCreateRequestQueue"
    for queue in completion_queues:
        completion_handle(provider, function, queue)
    check_limits(function, limits)
    if data_buffers != (1, 1):
        raise RioCallError(function, Status.EINVAL, "RIO takes one data buffer for each request")
    if not 0 <= socket_context <= CONTEXT_MAX:
        raise RioCallError(function, Status.EINVAL, "socket_context must be within 0 .. 2**63-1")
    if sock.fileno() == -1:
        raise RioCallError(function, Status.ENOTSOCK, "the socket is closed")
    if not can_serve(sock):
        raise RioCallError(function, Status.EOPNOTSUPP, "RIO serves stream and datagram sockets over IPv4 and IPv6")


def check_queue_size(function: str, queue_size: int) -> None:
    """Refuse a completion queue whose size is out of range."""
    if not 1 <= queue_size <= RIO_MAX_CQ_SIZE:
        raise RioCallError(function, Status.EINVAL, f"the size must be within 1 .. {RIO_MAX_CQ_SIZE}")


def check_limits(function: str, limits: tuple[int, int]) -> None:
    """Refuse limits of a request queue that are negative, too large, or both 0."""
    if not any(limits) or not all(0 <= limit <= _OUTSTANDING_MAX for limit in limits):
        raise RioCallError(function, Status.EINVAL, f"limits {limits}: not negative, and not both 0")


def check_notification(provider: object, function: str, notification: Notification) -> None:
    """Refuse a port or event that is closed or another provider's, and a completion key that is out of range."""
    if notification is None:
        return
    is_port = isinstance(notification, PortNotification)
    signal: Any = notification.port if isinstance(notification, PortNotification) else notification.event
    if not isinstance(signal, Port if is_port else Event) or getattr(signal, "provider", None) is not provider:
        raise RioCallError(function, Status.EINVAL, "a port or event of another provider")
    if signal.is_closed:  # type: ignore[union-attr]
        raise RioCallError(function, Status.EINVAL, "the port or event is closed")
    if isinstance(notification, PortNotification) and not 0 <= notification.completion_key <= CONTEXT_MAX:
        raise RioCallError(function, Status.EINVAL, "completion_key must be within 0 .. 2**63-1")


def completion_handle(provider: object, function: str, queue: CompletionQueue) -> Any:
    """What the provider knows a completion queue by; raise if the queue is closed, or another provider's."""
    if queue.is_closed:
        raise RioCallError(function, Status.EINVAL, "this CompletionQueue is closed")
    if queue.provider is not provider:
        raise RioCallError(function, Status.EINVAL, "a completion queue of another provider")
    return queue.handle


def request_handle(provider: object, function: str, queue: RequestQueue) -> Any:
    """What the provider knows a request queue by; raise if its socket is closed, or it is another provider's."""
    if queue.is_closed:
        raise RioError(SOCKET_CLOSED)
    if queue.provider is not provider:
        raise RioCallError(function, Status.EINVAL, "a request queue of another provider")
    return queue.handle


def can_serve(sock: socket.socket) -> bool:
    """Whether RIO serves sockets of this family and type."""
    return raw_family(sock) in _FAMILIES and raw_type(sock) in _TYPES


def file_of(sock: socket.socket) -> object:
    """What identifies the file behind a socket's number; ``None`` where there is no such thing, as on Windows.

    dup2(2) gives a number another file without notice.
    """
    if sys.platform == "win32":
        return None
    try:
        status = os.fstat(sock.fileno())
    except OSError:
        return None
    return status.st_dev, status.st_ino


def problem_with(
    is_send: bool,
    data: BufferSlice | None,
    data_count: int,
    address: BufferSlice | None,
    flags: int,
    context: int,
) -> str:
    """Why the table would answer WSAEINVAL to these arguments; empty when it would not."""
    if flags & ~ALL_FLAGS:
        return f"unknown flags {flags & ~ALL_FLAGS:#x}"
    if flags & RIO_MSG_COMMIT_ONLY:
        if flags != RIO_MSG_COMMIT_ONLY or data is not None or data_count or address is not None or context:
            return "RIO_MSG_COMMIT_ONLY goes alone: no other flag, no data, no address, context 0"
        return ""
    if is_send and flags & RIO_MSG_WAITALL:
        return "RIO_MSG_WAITALL is for receives"
    if data_count not in (0, 1):
        return f"data_count is {data_count}; RIO takes one data buffer (or none)"
    if (data is None) != (data_count == 0):
        return "data must be None exactly when data_count is 0"
    if not 0 <= context < 1 << 63:
        return "request_context must be within 0 .. 2**63-1"
    for slice_ in (data, address):
        if slice_ is not None and not (
            0 <= slice_.offset < 1 << 32 and 0 <= slice_.length < 1 << 32 and 0 <= slice_.buffer_id < 1 << 63
        ):
            return "offset and length of a slice are unsigned 32-bit numbers"
    if address is not None and address.length < SOCKADDR_INET_SIZE_BYTES:
        return f"an address slice needs {SOCKADDR_INET_SIZE_BYTES} bytes (SOCKADDR_INET)"
    return ""


def leak(memory: object) -> None:
    """Keep ``memory`` for the rest of the process: the kernel may still write to it, freeing it would corrupt."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(memory))


def post_or_commit(
    function: str,
    request_queue: RequestQueue,
    data: BufferSlice | None,
    data_count: int,
    address: BufferSlice | None,
    flags: int,
    context: int,
) -> None:
    """RIOReceive, RIOSend and their Ex forms, by the flat calls of a request queue; raises where they say a code."""
    is_send = function.startswith("RIOSend")
    problem = problem_with(is_send, data, data_count, address, flags, context)
    if problem:
        raise RioCallError(function, Status.EINVAL, problem)
    if flags & RIO_MSG_COMMIT_ONLY:
        code = request_queue.commit_sends() if is_send else request_queue.commit_receives()
    else:
        buffer_id, offset, length = data or (NO_BUFFER, 0, 0)
        if address is None:
            post = request_queue.post_send if is_send else request_queue.post_receive
            code = post(buffer_id, offset, length, flags, context)
        else:
            post_ex = request_queue.post_send_to if is_send else request_queue.post_receive_from
            code = post_ex(buffer_id, offset, length, address.buffer_id, address.offset, flags, context)
    if code:
        request_queue.provider.raise_for(function, code)
