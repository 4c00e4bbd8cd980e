"""Windows CPython under Wine, assembled from Debian's packages and PyPI.

Facts. Wine runs the official CPython for Windows, and unmodified Trio and cffi on it. The official binaries are on
PyPI, in the wheel of a program that ships them (panda3d, folder ``deploy_libs``): python311.dll and every extension
module of the standard library. The Python part of the standard library is the same on all platforms, so that of
the interpreter that runs this will do. ``python.exe`` is a page of C (``python.c``).

Consequence. Nothing but Debian's wine64 and mingw, and pip, is needed, and it takes seconds.

Decision. Everything lands in ``$XDG_CACHE_HOME/trio_rio/windows-lane``, under names that carry a hash of what it was
made from, so a change makes it anew and two checkouts do not disturb each other. Each run gets a Wine prefix of its
own, a copy made of hard links, with its own wineserver: to end that server ends all that the run has started, and
nothing else.
"""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COMPILER = "x86_64-w64-mingw32-gcc"
DEBIAN_PACKAGES = "wine wine64 gcc-mingw-w64-x86-64"
PYTHON_VERSION = (3, 11)

# Of deploy_libs: what belongs beside python.exe, and what is of no use here. Wine has the api-ms-* itself.
BESIDE_PYTHON = ("python311.dll", "VCRUNTIME140.dll", "VCRUNTIME140_1.dll")
NOT_COPIED = ("api-ms-", "tcl", "tk", "_tkinter")
# Of the standard library: what is not for Windows, or not needed.
NOT_FROM_STDLIB = ("site-packages", "lib-dynload", "test", "tests", "idlelib", "ensurepip", "__pycache__", "config-3*")

CREATE_PREFIX_SECONDS = 120


class LaneError(Exception):
    """The lane cannot be built here; the message says what to do."""


def cache() -> Path:
    """The folder of all that is downloaded and built."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "trio_rio" / "windows-lane"


def missing() -> str | None:
    """What has to be installed first, or ``None``."""
    for program in ("wine", "wineserver", COMPILER):
        if shutil.which(program, path=search_path()) is None:
            return f"{program} is missing: apt-get install --no-install-recommends {DEBIAN_PACKAGES}"
    if sys.version_info[:2] != PYTHON_VERSION:
        wanted = ".".join(map(str, PYTHON_VERSION))
        return f"this is run by Python {sys.version.split()[0]}, and takes its standard library: use Python {wanted}"
    return None


def search_path() -> str:
    """PATH, and where Debian keeps wineserver."""
    return os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/lib/wine", "/usr/lib/wine64"))


def windows_path(path: Path) -> str:
    """The path as Windows programs write it: Wine shows the root as drive Z."""
    return "Z:" + str(path).replace("/", "\\")


def digest(*files: Path, by: tuple[Callable[..., object], ...]) -> str:
    """A name for what is made from these files by these functions."""
    state = hashlib.sha256("".join(map(inspect.getsource, by)).encode())
    for file in files:
        state.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return state.hexdigest()[:12]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One builder at a time."""
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def built(name: str, build: Callable[[Path], None]) -> Path:
    """The folder ``name`` in the cache; made by ``build`` if it is not there, whole or not at all."""
    folder = cache() / name
    with locked(name.split("-")[0]):
        if not folder.exists():
            unfinished = cache() / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            build(unfinished)
            unfinished.rename(folder)
    return folder


def check_call(command: list[str | Path], **options: object) -> None:
    """Run a command of the assembly; what it said is shown when it fails."""
    check_output(command, **options)


def check_output(command: list[str | Path], **options: object) -> str:
    """As :func:`check_call`; what the command said."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        errors="replace",
        **options,  # type: ignore[call-overload]
    )
    if done.returncode:
        raise LaneError(f"{' '.join(map(str, command))}\nfailed with {done.returncode}:\n{done.stdout}")
    return str(done.stdout)


# ----------------------------------------------------------------------------------------------------------
# Python
# ----------------------------------------------------------------------------------------------------------


def download_wheels(folder: Path) -> None:
    """The wheels of requirements.txt, for Windows."""
    version = ".".join(map(str, PYTHON_VERSION))
    platform = ["--platform", "win_amd64", "--python-version", version]
    abis = ["--abi", "cp311", "--abi", "abi3", "--abi", "none"]
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q"]
    wanted: list[str | Path] = ["--no-deps", "--only-binary=:all:", "-r", HERE / "requirements.txt"]
    check_call([*pip, *platform, *abis, *wanted, "-d", folder])


def unpack_binaries(wheel: Path, python: Path) -> None:
    """The official DLLs and extension modules."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            parent, _, name = entry.filename.rpartition("/")
            if parent == "deploy_libs" and not name.startswith(NOT_COPIED):
                target = python / name if name in BESIDE_PYTHON else python / "DLLs" / name
                target.write_bytes(archive.read(entry))


def assemble_python(folder: Path) -> None:
    """A folder that looks like an installation of CPython for Windows."""
    wheels = built(f"wheels-{digest(HERE / 'requirements.txt', by=(download_wheels,))}", download_wheels)
    packages = folder / "Lib" / "site-packages"
    (folder / "DLLs").mkdir()
    shutil.copytree(sysconfig.get_path("stdlib"), folder / "Lib", ignore=shutil.ignore_patterns(*NOT_FROM_STDLIB))
    packages.mkdir()
    for wheel in sorted(wheels.glob("*.whl")):
        if wheel.name.startswith("panda3d-"):
            unpack_binaries(wheel, folder)
        else:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(packages)
    compile_binaries(folder)


def compile_binaries(python: Path) -> None:
    """What the wheels have not: python.exe, python3.dll for modules of the limited API, bcryptprimitives.dll."""
    tool = COMPILER.removesuffix("gcc")
    manifest = python / "manifest.o"
    resource = f'1 24 "{HERE / "python.manifest"}"\n'  # 24: RT_MANIFEST; it makes Windows tell its true version
    (python / "manifest.rc").write_text(resource, encoding="utf-8")
    check_call([f"{tool}windres", python / "manifest.rc", manifest])
    strict = [COMPILER, "-O2", "-Wall", "-Wextra", "-Werror"]
    dll = f'-DPYTHON_DLL=L"{BESIDE_PYTHON[0]}"'
    check_call([*strict, "-municode", dll, "-o", python / "python.exe", HERE / "python.c", manifest])
    prng = python / "bcryptprimitives.dll"
    check_call([*strict, "-shared", "-o", prng, HERE / "bcryptprimitives.c", "-ladvapi32"])
    table = check_output([f"{tool}objdump", "-p", python / BESIDE_PYTHON[0]])
    names = re.findall(r"^\s*\[ *\d+\] (?:\+base\[ *\d+\] +[0-9a-f]+ )?([A-Za-z_]\w+)$", table, re.MULTILINE)
    forwarders = "".join(f"{name} = {Path(BESIDE_PYTHON[0]).stem}.{name}\n" for name in names)
    (python / "python3.def").write_text(f"LIBRARY python3.dll\nEXPORTS\n{forwarders}", encoding="utf-8")
    check_call([COMPILER, "-shared", "-nostdlib", "-o", python / "python3.dll", python / "python3.def"])


def python_exe() -> Path:
    """The interpreter, assembled if need be."""
    made_from = ("requirements.txt", "python.c", "python.manifest", "bcryptprimitives.c")
    name = digest(*(HERE / name for name in made_from), by=(assemble_python, unpack_binaries, compile_binaries))
    return built(f"python-{name}", assemble_python) / "python.exe"


def compile_table(folder: Path) -> None:
    """The DLL that gives Wine a RIO function table."""
    sources: list[str | Path] = [*sorted((HERE / "dll").glob("*.c"))]
    options = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-D_WIN32_WINNT=0x0602", "-static-libgcc"]
    check_call([COMPILER, *options, "-shared", "-o", folder / "rio.dll", *sources, "-lws2_32", "-lpsapi"])


def table_dll() -> Path:
    """The RIO function table of the lane, compiled if need be."""
    name = digest(*sorted((HERE / "dll").glob("*.[ch]")), by=(compile_table,))
    return built(f"table-{name}", compile_table) / "rio.dll"


# ----------------------------------------------------------------------------------------------------------
# Wine
# ----------------------------------------------------------------------------------------------------------


def wine_environment(prefix: Path) -> dict[str, str]:
    """The environment of Wine: 64 bits, silent, without a display, .NET and a browser."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DISPLAY"))}
    for name in ("VIRTUAL_ENV", "LD_PRELOAD"):
        environment.pop(name, None)
    environment.update(
        PATH=search_path(),
        WINEPREFIX=str(prefix),
        WINEARCH="win64",
        WINEDEBUG="-all",
        WINEDLLOVERRIDES="mscoree,mshtml=",
    )
    return environment


def create_prefix(folder: Path) -> None:
    """A Wine prefix, as Windows 10; its server has ended, so that the files are complete."""
    environment = wine_environment(folder)
    timeout = ["timeout", "-k", "5", str(CREATE_PREFIX_SECONDS)]
    check_call([*timeout, "wine", "wineboot", "-i"], env=environment)
    key = r"HKEY_CURRENT_USER\Software\Wine"
    check_call([*timeout, "wine", "reg", "add", key, "/v", "Version", "/d", "win10", "/f"], env=environment)
    check_call(["wineserver", "-w"], env=environment)


@contextmanager
def prefix() -> Iterator[Path]:
    """A fresh Wine prefix; at the end all that runs in it is killed, and it is deleted."""
    template = built(f"prefix-{digest(by=(create_prefix, wine_environment, prefix))}", create_prefix)
    folder = cache() / f"run-{os.getpid()}-{threading.get_ident()}"
    shutil.rmtree(folder, ignore_errors=True)
    check_call(["cp", "-al", template, folder])
    # A file of the registry that has several links is written in place, so it must not be the template's own.
    for registry in template.glob("*.reg"):
        (folder / registry.name).unlink()
        shutil.copy2(registry, folder / registry.name)
    _in_use.add(folder)
    try:
        yield folder
    finally:
        end_prefix(folder)


# Prefixes of this process.
_in_use: set[Path] = set()


def end_prefix(folder: Path) -> None:
    """Kill all that runs in a prefix, and delete it."""
    environment = wine_environment(folder)
    for option in ("-k9", "-w"):
        subprocess.run(["wineserver", option], env=environment, check=False, stdin=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)
    _in_use.discard(folder)


def end_on_signals() -> None:
    """Let no prefix outlive this process when it is told to end."""

    def end(number: int, _: object) -> None:
        for folder in list(_in_use):
            end_prefix(folder)
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
