"""Trio on Registered I/O completion queues.

``trio_rio.run(main)`` in place of ``trio.run(main)``: the same program, its sockets on request queues and completion
queues. :mod:`trio_rio.rio` is the RIO API by itself.
"""

from ._config import RioConfig
from ._datagrams.channel import DatagramChannel
from ._datagrams.lease import DatagramLease
from ._datagrams.open import open_datagram_channel
from ._datagrams.statistics import DatagramStatistics
from ._errors import RioError, RioInternalError, RioResourceError, RioUnavailableError, TruncatedDatagramError
from ._run import current_statistics, install, run, start_guest_run, uninstall
from ._statistics import RioIOStatistics, RioStatistics
from ._streams.lease import ReceiveLease, SendLease
from ._streams.listener import RioListener
from ._streams.open import open_tcp_listeners, open_tcp_stream, open_unix_socket
from ._streams.serve import serve_tcp
from ._streams.stream import RioStream
from ._trio_versions import UntriedTrioWarning
from .rio.api import Address
from .rio.chooser import Feature, ProbeReport, ProviderProbe, probe

__version__ = "0.1.0"

__all__ = [
    "Address",
    "DatagramChannel",
    "DatagramLease",
    "DatagramStatistics",
    "Feature",
    "ProbeReport",
    "ProviderProbe",
    "ReceiveLease",
    "RioConfig",
    "RioError",
    "RioIOStatistics",
    "RioInternalError",
    "RioListener",
    "RioResourceError",
    "RioStatistics",
    "RioStream",
    "RioUnavailableError",
    "SendLease",
    "TruncatedDatagramError",
    "UntriedTrioWarning",
    "__version__",
    "current_statistics",
    "install",
    "open_datagram_channel",
    "open_tcp_listeners",
    "open_tcp_stream",
    "open_unix_socket",
    "probe",
    "run",
    "serve_tcp",
    "start_guest_run",
    "uninstall",
]

# Tracebacks name an error by its module: let it be the one that a program imports it from.
for _error in (
    RioError, RioInternalError, RioResourceError, RioUnavailableError, TruncatedDatagramError, UntriedTrioWarning,
):  # fmt: skip
    _error.__module__ = __name__
