"""Run a command on a kernel that refuses io_uring, as many containers do.

    python seccomp_refuse.py [--errno EPERM|ENOSYS|EACCES] [--] COMMAND [ARGUMENT...]

Facts. Container runtimes refuse the three io_uring system calls with a seccomp filter: EPERM from most, ENOSYS from
some. Their numbers are 425 to 427 on every architecture. A filter is a classic BPF program over the call's number and
architecture, is inherited across fork and exec, and needs no privilege once ``no_new_privs`` is set.
[seccomp(2); linux/seccomp.h; asm-generic/unistd.h]

Decision. prctl(2) through ctypes, no library: this must run where nothing is installed. A call of another
architecture (32-bit programs on a 64-bit kernel) is allowed: nothing here makes one.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import os
import platform
import struct
import sys
from typing import NoReturn

IO_URING_SETUP = 425
IO_URING_REGISTER = 427

# linux/audit.h: EM_X86_64 and EM_AARCH64, 64-bit, little-endian
AUDIT_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000
OFFSET_OF_NUMBER = 0  # in struct seccomp_data
OFFSET_OF_ARCHITECTURE = 4

# linux/bpf_common.h
LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_GREATER_OR_EQUAL = 0x35
JUMP_GREATER = 0x25
RETURN = 0x06
INSTRUCTION_SIZE_BYTES = 8

# The exit codes of env(1)
COULD_NOT_REFUSE = 125
COULD_NOT_START = 127


def filter_program(architecture: int, number: int) -> bytes:
    """The BPF program that answers errno ``number`` to the io_uring calls and allows everything else."""
    instructions = [
        # code, jump if true, jump if false (both relative to the next instruction), operand
        (LOAD_WORD, 0, 0, OFFSET_OF_ARCHITECTURE),
        (JUMP_EQUAL, 0, 4, architecture),
        (LOAD_WORD, 0, 0, OFFSET_OF_NUMBER),
        (JUMP_GREATER_OR_EQUAL, 0, 2, IO_URING_SETUP),
        (JUMP_GREATER, 1, 0, IO_URING_REGISTER),
        (RETURN, 0, 0, SECCOMP_RET_ERRNO | number),
        (RETURN, 0, 0, SECCOMP_RET_ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)


def refuse_io_uring(number: int) -> None:
    """Make the io_uring calls of this process and its children fail with errno ``number``, for good.

    Raises:
      OSError: the kernel has no seccomp filters, or this machine is neither x86_64 nor aarch64.
    """
    _load(filter_program(_architecture(), number))


def refuse_calls(calls: list[tuple[int, int]]) -> None:
    """Make some calls of this process and its children, each a number and an errno, fail with that errno, for good.

    Errors as for :func:`refuse_io_uring`.
    """
    instructions = [
        (LOAD_WORD, 0, 0, OFFSET_OF_ARCHITECTURE),
        (JUMP_EQUAL, 1, 0, _architecture()),
        (RETURN, 0, 0, SECCOMP_RET_ALLOW),
        (LOAD_WORD, 0, 0, OFFSET_OF_NUMBER),
    ]
    for call, number in calls:
        instructions += [(JUMP_EQUAL, 0, 1, call), (RETURN, 0, 0, SECCOMP_RET_ERRNO | number)]
    instructions.append((RETURN, 0, 0, SECCOMP_RET_ALLOW))
    _load(b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions))


def _architecture() -> int:
    machine = platform.machine()
    if machine not in AUDIT_ARCHITECTURES:
        raise OSError(errno.ENOTSUP, f"no filter for {machine}")
    return AUDIT_ARCHITECTURES[machine]


def _load(program: bytes) -> None:
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: how many instructions, and where
    fprog = struct.pack("@HP", len(program) // INSTRUCTION_SIZE_BYTES, ctypes.addressof(instructions))
    fprog_in_memory = ctypes.create_string_buffer(fprog, len(fprog))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(fprog_in_memory), 0, 0),
    ):
        if libc.prctl(ctypes.c_int(arguments[0]), *map(ctypes.c_ulong, arguments[1:])) != 0:
            raise OSError(ctypes.get_errno(), f"prctl: {os.strerror(ctypes.get_errno())}")


def main(arguments: list[str]) -> NoReturn:
    """Parse, refuse, become the command."""
    parser = argparse.ArgumentParser(description="Run a command on a kernel that refuses io_uring.")
    parser.add_argument("--errno", choices=("EPERM", "ENOSYS", "EACCES"), default="EPERM", help="the answer")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND [ARGUMENT...]")
    options = parser.parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("a command is needed")
    try:
        refuse_io_uring(getattr(errno, options.errno))
    except OSError as error:
        print(f"seccomp_refuse: {error}", file=sys.stderr)
        sys.exit(COULD_NOT_REFUSE)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"seccomp_refuse: {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(COULD_NOT_START)


if __name__ == "__main__":
    main(sys.argv[1:])
