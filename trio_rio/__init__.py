"""Trio on Registered I/O completion queues.

``trio_rio.run(main)`` in place of ``trio.run(main)``: the same program, its sockets on request queues and completion
queues. :mod:`trio_rio.rio` is the RIO API by itself.
"""

from ._config import RioConfig
from ._datagram import DatagramChannel
from ._datagram_leases import DatagramLease
from ._datagram_open import open_datagram_channel
from ._datagram_statistics import DatagramStatistics
from ._errors import RioError, RioInternalError, RioResourceError, RioUnavailableError, TruncatedDatagramError
from ._listener import RioListener
from ._open import open_tcp_listeners, open_tcp_stream, open_unix_socket, serve_tcp
from ._run import current_statistics, install, run, start_guest_run, uninstall
from ._statistics import RioIOStatistics, RioStatistics
from ._stream import RioStream
from ._stream_leases import ReceiveLease, SendLease
from .rio.chooser import Feature, ProbeReport, ProviderProbe, probe

__version__ = "0.1.0"

__all__ = [
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
