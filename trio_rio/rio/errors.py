"""The errors of Registered I/O: its status codes, their ``errno``, and the exceptions of this package.

Facts. RIO reports trouble in two places: a *call* fails (nothing was queued), or a *request* that was
accepted completes with a status other than 0. Both carry Winsock codes.
[Microsoft Learn, "Winsock Error Codes"; the page of each RIO function.]

Consequence. One table translates between Winsock codes and the platform's ``errno``, in both directions,
so that a caller above this package sees plain :class:`OSError` whatever provider served it.

Decision. A failed call raises :class:`RioCallError`; a request's status is a number that
:func:`error_from_status` turns into an :class:`OSError`. A native error that Winsock has no word for is kept
as ``NATIVE_STATUS | errno``: bit 29 marks codes that an application defines, so the two cannot meet.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import sys
from functools import partial
from typing import Any


class Status(enum.IntEnum):
    """The Winsock and Win32 codes that RIO uses, by their documented numbers."""

    SUCCESS = 0  #: It went well.
    OPERATION_ABORTED = 995  #: The socket was closed, or the request cancelled.
    IO_PENDING = 997  #: The request is on its way; a result will tell.
    EACCES = 10013  #: Not allowed.
    EFAULT = 10014  #: The buffer id is not registered, or the memory cannot be used so.
    EINVAL = 10022  #: An argument makes no sense.
    EMFILE = 10024  #: No more descriptors.
    EALREADY = 10037  #: The queue is armed already.
    ENOTSOCK = 10038  #: Not a socket, or a closed one.
    EDESTADDRREQ = 10039  #: The datagram has no address, and its socket no peer.
    EMSGSIZE = 10040  #: The datagram is too long.
    EOPNOTSUPP = 10045  #: The socket, or the provider, cannot do that.
    EAFNOSUPPORT = 10047  #: The address is of another family than the socket.
    EADDRINUSE = 10048  #: The address is in use.
    EADDRNOTAVAIL = 10049  #: No interface has that address.
    ENETDOWN = 10050  #: The network is down.
    ENETUNREACH = 10051  #: There is no way to that network.
    ENETRESET = 10052  #: The network dropped the connection, or an earlier datagram found nobody.
    ECONNABORTED = 10053  #: The connection was ended on this side.
    ECONNRESET = 10054  #: The peer has reset the connection.
    ENOBUFS = 10055  #: No room: in the request queue, the completion queue, or the system.
    EISCONN = 10056  #: The socket is connected already.
    ENOTCONN = 10057  #: The socket is not connected.
    ESHUTDOWN = 10058  #: Sending is over: it was shut down, or the peer is gone.
    ETOOMANYREFS = 10059  #: The new size is below what is charged or outstanding.
    ETIMEDOUT = 10060  #: The peer does not answer.
    ECONNREFUSED = 10061  #: Nobody listens there.
    EHOSTUNREACH = 10065  #: There is no way to that host.


_FIRST_WINSOCK_CODE = 10000

# Marks a status that is a native errno without a Winsock name.
NATIVE_STATUS = 0x2000_0000

_STATUS_BY_ERRNO: dict[int, Status] = {
    errno.ECANCELED: Status.OPERATION_ABORTED,
    errno.EACCES: Status.EACCES,
    errno.EFAULT: Status.EFAULT,
    errno.EINVAL: Status.EINVAL,
    errno.EMFILE: Status.EMFILE,
    errno.EALREADY: Status.EALREADY,
    errno.ENOTSOCK: Status.ENOTSOCK,
    errno.EDESTADDRREQ: Status.EDESTADDRREQ,
    errno.EMSGSIZE: Status.EMSGSIZE,
    errno.EOPNOTSUPP: Status.EOPNOTSUPP,
    errno.EAFNOSUPPORT: Status.EAFNOSUPPORT,
    errno.EADDRINUSE: Status.EADDRINUSE,
    errno.EADDRNOTAVAIL: Status.EADDRNOTAVAIL,
    errno.ENETDOWN: Status.ENETDOWN,
    errno.ENETUNREACH: Status.ENETUNREACH,
    errno.ENETRESET: Status.ENETRESET,
    errno.ECONNABORTED: Status.ECONNABORTED,
    errno.ECONNRESET: Status.ECONNRESET,
    errno.ENOBUFS: Status.ENOBUFS,
    errno.EISCONN: Status.EISCONN,
    errno.ENOTCONN: Status.ENOTCONN,
    errno.EPIPE: Status.ESHUTDOWN,  # sending after shutdown, or to a peer that is gone
    errno.ETOOMANYREFS: Status.ETOOMANYREFS,
    errno.ETIMEDOUT: Status.ETIMEDOUT,
    errno.ECONNREFUSED: Status.ECONNREFUSED,
    errno.EHOSTUNREACH: Status.EHOSTUNREACH,
}
_ERRNO_BY_STATUS: dict[int, int] = {int(status): number for number, status in _STATUS_BY_ERRNO.items()}


def status_from_errno(number: int) -> int:
    """The RIO status for a native ``errno`` (0 stays 0); total and reversible."""
    if number == 0:
        return 0
    known = _STATUS_BY_ERRNO.get(number)
    return NATIVE_STATUS | number if known is None else int(known)


def errno_from_status(status: int) -> int:
    """The native ``errno`` for a RIO status; the reverse of :func:`status_from_errno`."""
    if status & NATIVE_STATUS:
        return status & ~NATIVE_STATUS
    return _ERRNO_BY_STATUS.get(status, status)


def error_from_status(status: int) -> OSError:
    """An :class:`OSError` (of the subclass that fits) for a request's status other than 0."""
    number = errno_from_status(status)
    if sys.platform == "win32" and number == status:  # one of Winsock's own
        return OSError(0, text_of_errno(number), None, int(status))
    return OSError(number, text_of_errno(number))


def text_of_errno(number: int) -> str:
    """The system's message for an error number. Windows keeps those of Winsock's codes in another place."""
    if sys.platform == "win32" and number >= _FIRST_WINSOCK_CODE:
        text = ctypes.FormatError(number).strip()
        return status_name(number) if text.startswith("<") else text  # <no description>
    return os.strerror(number)


def status_name(code: int) -> str:
    """``WSAENOBUFS`` and the like, for messages."""
    try:
        name = Status(code).name
    except ValueError:
        return f"status {code:#x}"
    return f"WSA_{name}" if name in ("OPERATION_ABORTED", "IO_PENDING") else f"WSA{name}"


class RioError(Exception):
    """Base of every error that is trio_rio's own."""


class RioUnavailableError(RioError):
    """A provider cannot serve here.

    Args:
      provider: the provider's name.
      reason: what was tried and what the system answered.
      remedy: what to do about it.
    """

    def __init__(self, provider: str, reason: str, remedy: str) -> None:
        super().__init__(f"provider {provider!r} is not available: {reason}. Remedy: {remedy}")
        self.provider = provider
        self.reason = reason
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.provider, self.reason, self.remedy)


class RioResourceError(RioError):
    """A limit was reached and waiting would not help.

    Args:
      what: the thing that ran out.
      need: how much of it was asked for, in the unit that ``what`` names.
      limit: how much there may be.
      remedy: the setting to change.
    """

    def __init__(self, what: str, *, need: int, limit: int, remedy: str) -> None:
        super().__init__(f"{what}: {need} needed, the limit is {limit}. Remedy: {remedy}")
        self.what = what
        self.need = need
        self.limit = limit
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), need=self.need, limit=self.limit, remedy=self.remedy), (self.what,)


class RioInternalError(RioError):
    """A rule that trio_rio itself must keep was broken: a bug, or a damaged completion queue."""


class RioCallError(RioError):
    """A RIO function refused its call; nothing was queued and no credit was taken.

    Args:
      function: the function's name in the RIO function table, such as ``RIOReceive``.
      code: the Winsock code (:class:`Status`).
      detail: what was wrong, when the code alone does not say it.
    """

    def __init__(self, function: str, code: int, detail: str = "") -> None:
        text = f"{function} failed with {status_name(code)} ({code})"
        super().__init__(f"{text}: {detail}" if detail else text)
        self.function = function
        self.code = code
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.function, self.code, self.detail)
