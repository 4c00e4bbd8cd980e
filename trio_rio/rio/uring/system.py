"""What the ``uring`` provider needs of the system, and what it says when the system refuses.

Facts. Whether a ring can be made depends on the kernel, on sysctls, on seccomp filters, on limits; and the C
core may be missing. A version number tells none of that.

Decision. Everything is found by trying. Each refusal has a likely cause and a remedy, in words.
"""

from __future__ import annotations

import errno
from typing import Any, NamedTuple

from ..errors import RioUnavailableError

# RIO_INTERFACE of native/rio.h.
INTERFACE = 7


class _Feature(NamedTuple):
    name: str
    since: str
    used_for: str
    setup_flag: int = 0
    ring_feature: int = 0


FEATURES = (
    _Feature("EXT_ARG", "Linux 5.11", "a timeout in the call that submits and waits", ring_feature=1 << 8),
    _Feature("NODROP", "Linux 5.5", "a full completion ring loses nothing", ring_feature=1 << 1),
    _Feature("FAST_POLL", "Linux 5.7", "receives wait without a thread", ring_feature=1 << 5),
    _Feature("SUBMIT_ALL", "Linux 5.18", "a bad request does not hold up a batch", setup_flag=1 << 7),
    _Feature("COOP_TASKRUN", "Linux 5.19", "no interrupt for a completion", setup_flag=1 << 8),
    _Feature(
        "RECV_POLL_FIRST", "Linux 5.19", "a receive of a datagram that must wait does not try first", setup_flag=1 << 8
    ),
    _Feature("NO_IOWAIT", "Linux 6.15", "an idle program is not shown as waiting for I/O", ring_feature=1 << 17),
)


def load_native() -> Any:
    """The C core, or :class:`RioUnavailableError` with the reason why there is none."""
    try:
        from .. import _uring_native  # type: ignore[attr-defined]
    except ImportError as error:
        was_found = error.name != __package__.rpartition(".")[0]  # which has no such name: there is no such file
        reason = f"the C core is not there ({error})" if was_found else "the C core is not there"
        remedy = "reinstall with a C compiler and the Python headers present (Debian: gcc, python3-dev)"
        raise RioUnavailableError("uring", reason, remedy) from None
    if getattr(_uring_native.lib, "RIO_INTERFACE", 0) != INTERFACE:
        reason = "the C core that is installed was built from other sources than these"
        raise RioUnavailableError("uring", reason, "reinstall, so that it is built again")
    return _uring_native


_REMEDIES = {
    errno.ENOSYS: (
        "this kernel has no io_uring, or a sandbox hides it",
        "use Linux 5.11 or later; in a container allow io_uring_setup, io_uring_enter and io_uring_register",
    ),
    errno.EPERM: (
        "the system forbids io_uring to this process (a seccomp filter, or the sysctl kernel.io_uring_disabled)",
        "allow io_uring_setup, io_uring_enter and io_uring_register in the container's seccomp profile, or set "
        "kernel.io_uring_disabled=0",
    ),
    errno.ENOMEM: (
        "there is no memory for the ring, or the limit on locked memory is reached (kernels before 5.12 count it)",
        "raise the limit on locked memory (ulimit -l, LimitMEMLOCK=), or free memory",
    ),
    errno.EMFILE: ("this process has no file descriptor left", "raise the limit (ulimit -n) or close files"),
    errno.ENFILE: ("the system has no file descriptor left", "raise fs.file-max or close files"),
}
_REMEDIES[errno.EACCES] = _REMEDIES[errno.EPERM]


def unavailable(step: str, number: int) -> RioUnavailableError:
    """The refusal of a ring: which step failed, with which errno."""
    if step == "features":
        reason = "this kernel's io_uring lacks a feature that is needed"
        return RioUnavailableError("uring", reason, "use Linux 5.11 or later")
    likely, remedy = _REMEDIES.get(number, ("unexpected", "report it, with the output of the probe"))
    name = errno.errorcode.get(number, str(number))
    return RioUnavailableError("uring", f"{step} failed with {name}: {likely}", remedy)
