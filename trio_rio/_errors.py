"""The errors that are trio_rio's own; everything that Trio defines is Trio's."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from .rio.errors import (
    RioCallError,
    RioError,
    RioInternalError,
    RioResourceError,
    RioUnavailableError,
    errno_from_status,
    error_from_status,
    text_of_errno,
)

if TYPE_CHECKING:
    from .rio import Address


class TruncatedDatagramError(OSError):
    """A datagram was longer than the channel has room for; its rest is lost. The channel goes on.

    ``errno`` is EMSGSIZE, as Windows reports it.

    Args:
      data: what there was room for.
      address: the sender.
    """

    def __init__(self, data: bytes, address: Address) -> None:
        text = f"a datagram from {address} was longer than {len(data)} bytes: DatagramChannel(receive_size_bytes=...)"
        super().__init__(errno.EMSGSIZE, text)
        self.data = data
        self.address = address

    def __reduce__(self) -> tuple[type[TruncatedDatagramError], tuple[bytes, Address]]:
        return type(self), (self.data, self.address)


__all__ = [
    "RioCallError",
    "RioError",
    "RioInternalError",
    "RioResourceError",
    "RioUnavailableError",
    "TruncatedDatagramError",
    "errno_from_status",
    "error_from_status",
    "text_of_errno",
]
