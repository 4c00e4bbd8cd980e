"""The errors that are trio_rio's own; everything that Trio defines is Trio's."""

from __future__ import annotations

from .rio.errors import (
    RioCallError,
    RioError,
    RioInternalError,
    RioResourceError,
    RioUnavailableError,
    error_from_status,
)

__all__ = [
    "RioCallError",
    "RioError",
    "RioInternalError",
    "RioResourceError",
    "RioUnavailableError",
    "error_from_status",
]
