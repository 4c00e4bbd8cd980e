"""What a result must say about where it was measured."""

from __future__ import annotations

import os
import platform
import subprocess
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any

from .build import FLAGS, find_compiler
from .errors import BenchError
from .processes import ROOT
from .usage import cpu_source

PACKAGES = (
    *("trio", "trio-rio", "attrs", "cffi", "outcome", "psutil"),
    *("uvloop", "anyio", "h11", "h2", "hypercorn", "trio-websocket", "wsproto"),  # who is measured
)


def _first_line(command: list[str]) -> str | None:
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, cwd=ROOT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = result.stdout.splitlines()
    return lines[0] if result.returncode == 0 and lines else None


def _cpu_model() -> str | None:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return None


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def _cpu_time_source() -> str:
    try:
        return cpu_source(os.getpid())[0]
    except BenchError as error:
        return str(error)


def machine_facts() -> dict[str, Any]:
    """Kernel, CPUs, Python, versions, compiler, and how busy the machine was at the start."""
    compiler = find_compiler()
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cpu_model": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "cpus_allowed": sorted(os.sched_getaffinity(0)),
        "load_average": list(os.getloadavg()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "python_configured_with": sysconfig.get_config_var("CONFIG_ARGS"),
        "versions": _versions(),
        "compiler": _first_line([*compiler, "--version"]) if compiler else None,
        "compiler_flags": list(FLAGS),
        "cpu_time_source": _cpu_time_source(),
        "commit": _first_line(["git", "describe", "--always", "--dirty"]),
    }
