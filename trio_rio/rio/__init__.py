"""Registered I/O by itself, usable without Trio: the function table, its providers, and the choice of one.

::

    from trio_rio import rio

    provider = rio.open_provider()
    queue = provider.create_completion_queue(64)
    memory = provider.register_buffer(bytearray(4096))
    requests = provider.create_request_queue(sock, 8, 1, 8, 1, queue, queue, 0)
    provider.receive(requests, memory.slice(0, 1024), 1, 0, 7)
    results = provider.dequeue_completion(queue, 64)
"""

from .api import *  # noqa: F403
from .api import __all__ as _api_names
from .chooser import Feature, ProbeReport, ProviderProbe, open_provider, probe
from .errors import (
    RioCallError,
    RioError,
    RioInternalError,
    RioResourceError,
    RioUnavailableError,
    Status,
    errno_from_status,
    error_from_status,
)

__all__ = [
    *_api_names,
    "Feature",
    "ProbeReport",
    "ProviderProbe",
    "RioCallError",
    "RioError",
    "RioInternalError",
    "RioResourceError",
    "RioUnavailableError",
    "Status",
    "errno_from_status",
    "error_from_status",
    "open_provider",
    "probe",
]

RioCallError.__module__ = __name__  # where a program imports it from, for tracebacks
