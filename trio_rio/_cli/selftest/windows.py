"""The probes that only Windows can answer."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

from cffi import FFI

from ...rio import status_name
from ...rio.winsock.ffi import ffi, last_error, libraries
from .report import wine_version

if TYPE_CHECKING:
    from .ground import Ground


_CHILD_SECONDS = 20
_CHILD = """
import os, socket, sys
print(os.getpid(), flush=True)
from trio_rio.rio import open_provider
from trio_rio._cli.selftest.raw import collect, raw_table
sock = socket.fromshare(sys.stdin.buffer.read())
table = raw_table(open_provider("winsock"))
cq, _ = table.cq(8)
rq, code = table.rq(sock, cq, 1, 1)
print("RIOCreateRequestQueue in the other process:", code or "made", end="; ")
if rq:
    memory = bytearray(64)
    buffer, _ = table.register(memory)
    print("RIOReceive:", table.receive(rq, buffer, 0, 64, 0), [one[:2] for one in collect(table, cq, 1)])
"""


def u3(ground: Ground) -> str:
    """whether CancelIoEx or SIO_FLUSH ends requests"""
    lines = []
    for name in ("CancelIoEx", "SIO_FLUSH"):
        ours, _ = ground.bench.tcp()
        rq = ground.rq(ours)
        ground.receive(rq)
        if name == "CancelIoEx":
            said = "" if libraries().kernel32.CancelIoEx(ours.fileno(), ffi.NULL) else f" (refused, {last_error()})"
        else:
            size = ffi.new("uint32_t *")
            arguments = (ours.fileno(), 0x28000004, ffi.NULL, 0, ffi.NULL, 0, size, ffi.NULL, ffi.NULL)
            said = f" (refused, {last_error()})" if libraries().ws2_32.WSAIoctl(*arguments) else ""
        lines.append(f"{name}{said}: {ground.endings_of(1, 1.0)}")
        ground.table.close_socket(rq, ours)
        ground.collect(1, 1.0)
    return "\n".join(lines)


def u6(ground: Ground) -> str:
    """a RIO socket that is shared with another process"""
    ours, peer = ground.bench.tcp()
    share: Any = getattr(ours, "share")  # noqa: B009  # sockets of other systems have none
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as child:
        assert child.stdout is not None
        end = threading.Timer(_CHILD_SECONDS, child.kill)
        end.start()
        try:
            # In a virtual environment child.pid is that of a launcher [bpo-35797].
            pid = child.stdout.readline()
            blob = share(int(pid)) if pid.strip().isdigit() else b""
            peer.send(b"hello")
            said, _ = child.communicate(blob)
        finally:
            end.cancel()
            child.kill()
    said = said if blob else pid + said
    return said.decode(errors="replace").strip() or f"it said nothing and ended with {child.returncode}"


def u13(ground: Ground) -> str:
    """how many registrations, and how much locked memory"""
    lines = []
    for size, limit in ((4096, 16384), (16 << 20, 64)):
        made, code = 0, 0
        while made < limit:
            _, code = ground.table.register(bytearray(size))
            if code:
                break
            made += 1
        ending = f"then {status_name(code)}" if code else "where the probe stopped"
        lines.append(f"registrations of {size} bytes: {made}, {ending}")
    return "\n".join(lines)


_CATALOG = FFI()
_CATALOG.cdef("""
    typedef struct { char head[40]; int32_t chain_length; char tail[584]; } WSAPROTOCOL_INFOW;
    int __stdcall WSAEnumProtocolsW(int *, WSAPROTOCOL_INFOW *, uint32_t *);
""")


def u18(ground: Ground) -> str:
    """what stands between: Wine, layered service providers"""
    winsock: Any = _CATALOG.dlopen("ws2_32.dll")
    size = _CATALOG.new("uint32_t *")
    winsock.WSAEnumProtocolsW(_CATALOG.NULL, _CATALOG.NULL, size)  # says how much room all of them need
    entries = _CATALOG.new("WSAPROTOCOL_INFOW[]", size[0] // _CATALOG.sizeof("WSAPROTOCOL_INFOW"))
    count = winsock.WSAEnumProtocolsW(_CATALOG.NULL, entries, size)
    if count < 0:
        catalog = f"no catalog: {status_name(last_error())}"
    else:
        layered = sum(entries[index].chain_length != 1 for index in range(count))
        catalog = f"{layered} of {count} entries of the catalog are layered"
    return f"Wine: {wine_version() or 'no'}; {catalog}"
