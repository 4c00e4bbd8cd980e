"""What tests must know about the system that they run on."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import struct
import sys

import pytest

IS_WINDOWS = sys.platform == "win32"

# SO_LINGER with no time: closing resets the connection. Windows has short numbers there.
RESET_AT_CLOSE = struct.pack("hh" if IS_WINDOWS else "ii", 1, 0)


def is_wine() -> bool:
    """Whether Windows is Wine, as in the Windows lane."""
    return sys.platform == "win32" and hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")


def skip_if_wine_ended_it() -> None:
    """Skip a test about a reset that was seen as the end of a stream: Wine sends FIN before RST, and either may win."""
    if is_wine():
        pytest.skip("Wine sends FIN before RST, and the first of them was seen")


def complaints(stderr: str) -> str:
    """What a program says on standard error, but for what it says of the machine.

    That is: no completion queues are to be had; or notifications are late, as they are where the machine is busy.
    """
    of_the_machine = ("sockets go Trio's own way", "Windows has lost a notification")
    return "".join(line for line in stderr.splitlines(True) if not line.startswith(of_the_machine))


# ----------------------------------------------------------------------------------------------------------
# What a system may lack
# ----------------------------------------------------------------------------------------------------------

# A provider that cannot serve on this system.
FOREIGN_PROVIDER = "uring" if IS_WINDOWS else "winsock"

# An address of the machine itself, another than 127.0.0.1 wherever there is one.
OTHER_LOOPBACK = "127.0.0.1" if sys.platform == "darwin" else "127.0.0.2"

HAS_RECVMSG = hasattr(socket.socket, "recvmsg")

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
needs_recvmsg = pytest.mark.skipif(not HAS_RECVMSG, reason="the sockets of this system have no recvmsg and sendmsg")
needs_limits = pytest.mark.skipif(IS_WINDOWS, reason="this system has no limits for a process (setrlimit)")
needs_signals = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system has no signals to threads")

needs_interrupts = pytest.mark.skipif(IS_WINDOWS, reason="this system sends no SIGINT to one process")
needs_descriptors = pytest.mark.skipif(IS_WINDOWS, reason="this system has no list of open descriptors (/dev/fd)")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="about something that only Linux has")

needs_full_buffers = pytest.mark.skipif(
    is_wine(),
    reason="under Wine a socket takes more than it said it would: nothing waits for a peer that does not read",
)

checks_addresses = pytest.mark.skipif(is_wine(), reason="Wine binds datagram sockets to addresses that nobody has")

# What a call on a socket that is closed is answered with.
CLOSED_ERRNO = getattr(errno, "WSAENOTSOCK", errno.EBADF)
