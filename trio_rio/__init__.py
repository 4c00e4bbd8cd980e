"""Trio on Registered I/O completion queues.

``trio_rio.run(main)`` in place of ``trio.run(main)``: the same program, its sockets on request queues and completion
queues. :mod:`trio_rio.rio` is the RIO API by itself.
"""

from ._config import RioConfig
from ._errors import RioError, RioInternalError, RioResourceError, RioUnavailableError
from ._run import current_statistics, install, run, start_guest_run, uninstall
from ._statistics import RioIOStatistics, RioStatistics
from .rio.chooser import Feature, ProbeReport, ProviderProbe, probe

__version__ = "0.1.0"

__all__ = [
    "Feature",
    "ProbeReport",
    "ProviderProbe",
    "RioConfig",
    "RioError",
    "RioIOStatistics",
    "RioInternalError",
    "RioResourceError",
    "RioStatistics",
    "RioUnavailableError",
    "__version__",
    "current_statistics",
    "install",
    "probe",
    "run",
    "start_guest_run",
    "uninstall",
]
