"""The wheel: what is in it, what its name says, and that no compiler is needed to get one."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from ..platforms import complaints, needs_linux

ROOT = Path(__file__).resolve().parent.parent.parent
SWITCH = ("_trio_rio_switch.py", "trio_rio.pth")
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE", "trio_rio", *SWITCH)
HAS_COMPILER = shutil.which("gcc") is not None and Path(sysconfig.get_path("include"), "Python.h").exists()
HAS_ABI3 = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")

setuptools = pytest.importorskip("setuptools", minversion="77")

# Says which provider serves an ordinary run, and what the probe says of the others.
SERVE = """
import json, trio, trio_rio

async def main():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        async def echo(stream):
            await stream.send_all(await stream.receive_some())
        nursery.start_soon(trio.serve_listeners, echo, listeners)
        async with await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1]) as stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
        nursery.cancel_scope.cancel()
    return trio_rio.current_statistics().provider

refused = {item.name: [item.reason, item.remedy] for item in trio_rio.probe().providers if not item.is_available}
print(json.dumps([trio_rio.__file__, trio_rio.run(main), refused]))
"""


def build(folder: Path, what: str = "wheel", **environment: str) -> Path:
    """Build a wheel (or what stands for one: editable) from a copy of the sources, without any network; its path."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    command = f"from setuptools import build_meta; build_meta.build_sdist('..'); build_meta.build_{what}('..')"
    done = subprocess.run(
        [sys.executable, "-c", command],
        cwd=source,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built with what this machine has."""
    return build(tmp_path_factory.mktemp("with_compiler"))


@pytest.fixture(scope="module")
def pure_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built where every call of the compiler fails."""
    return build(tmp_path_factory.mktemp("without_compiler"), CC="/bin/false")


@pytest.fixture(scope="module")
def pure_installation(pure_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the wheel that has no C core."""
    folder = tmp_path_factory.mktemp("pure")
    with zipfile.ZipFile(pure_wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def editable_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``pip install -e`` installs."""
    return build(tmp_path_factory.mktemp("editable"), "editable", CC="/bin/false")


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def python(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """Run python with this folder before everything else, and no provider forced."""
    environment = {name: value for name, value in os.environ.items() if name != "TRIO_RIO_PROVIDER"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=path,
        env={**environment, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.skipif(sys.platform != "linux" or not HAS_COMPILER, reason="needs Linux, gcc and the Python headers")
def test_a_compiler_gives_the_core(wheel: Path) -> None:
    """Where there is a compiler the wheel has the C core, once, and the engine in C, where there is a stable ABI."""
    extensions = [name.split("/")[-1].split(".")[0] for name in names(wheel) if name.endswith(".so")]
    assert sorted(extensions) == (["_native", "_uring_native"] if HAS_ABI3 else ["_uring_native"])


@pytest.mark.skipif(sys.platform != "linux" or not HAS_COMPILER, reason="needs Linux, gcc and the Python headers")
@pytest.mark.skipif(not HAS_ABI3, reason="this Python has no stable ABI")
def test_they_are_for_every_python_from_3_11(wheel: Path) -> None:
    """Both extensions are abi3, and the wheel's name says so."""
    assert {"trio_rio/rio/_uring_native.abi3.so", "trio_rio/_engine/_native.abi3.so"} <= set(names(wheel))
    assert "-cp311-abi3-linux_" in wheel.name


@pytest.mark.skipif(sys.platform != "linux" or not HAS_COMPILER, reason="needs Linux, gcc and the Python headers")
def test_the_core_is_stripped(wheel: Path) -> None:
    """The extensions in a wheel have neither a table of symbols nor what debuggers want."""
    with zipfile.ZipFile(wheel) as archive:
        binaries = [archive.read(name) for name in archive.namelist() if name.endswith(".so")]
    assert binaries
    sections = (b".symtab", b".strtab", b".debug_info", b".debug_line")
    assert [section for binary in binaries for section in sections if section in binary] == []


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    """The wheel has the package with py.typed, and the two files of the switch beside it; no C sources, no tests."""
    found = names(wheel)
    assert "trio_rio/py.typed" in found
    roots = {name.split("/")[0] for name in found}
    assert {name for name in roots if not name.endswith(".dist-info")} == {"trio_rio", *SWITCH}
    assert [name for name in found if name.endswith((".c", ".h")) or "test" in name.split("/")[0]] == []


def test_the_source_distribution_can_build_the_core(wheel: Path) -> None:
    """Every C source and header is in the source distribution, and the switch."""
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        listing = opened.getnames()
    folders = ("trio_rio/rio/native", "trio_rio/_engine/native")
    native = [f"{folder}/{path.name}" for folder in folders for path in (ROOT / folder).glob("*.[ch]")]
    assert all(any(name.startswith(folder) for name in native) for folder in folders)
    wanted = [*native, *SWITCH]
    assert [name for name in wanted if not any(path.endswith(f"/{name}") for path in listing)] == []


def what_setup_is_told(monkeypatch: pytest.MonkeyPatch, *, is_free_threaded: bool) -> dict[str, Any]:
    """The arguments of `setup` in setup.py, on a CPython of one of the two builds."""
    told: dict[str, Any] = {}
    real = sysconfig.get_config_var
    with monkeypatch.context() as patch:
        patch.setattr(setuptools, "setup", told.update)
        patch.setattr(sysconfig, "get_config_var", lambda name: (
            int(is_free_threaded) if name == "Py_GIL_DISABLED" else real(name)
        ))  # fmt: skip
        runpy.run_path(str(ROOT / "setup.py"))
    return told


@needs_linux
@pytest.mark.skipif(sys.implementation.name != "cpython", reason="the engine in C is for CPython")
@pytest.mark.parametrize("is_free_threaded", [False, True])
def test_a_free_threaded_python_gets_no_engine_in_c(monkeypatch: pytest.MonkeyPatch, is_free_threaded: bool) -> None:
    """It has no limited API: neither is the engine built for it, nor does its wheel claim to be abi3."""
    told = what_setup_is_told(monkeypatch, is_free_threaded=is_free_threaded)
    extensions = [extension.name for extension in told["ext_modules"]]
    assert extensions == ([] if is_free_threaded else ["trio_rio._engine._native"])
    command = told["cmdclass"]["bdist_wheel"](setuptools.Distribution())
    command.finalize_options()
    assert bool(command.py_limited_api) is not is_free_threaded


def test_no_compiler_gives_a_pure_wheel(pure_wheel: Path) -> None:
    """Where every compilation fails the build succeeds, without the core, and the wheel's name says so."""
    assert pure_wheel.name.endswith("-py3-none-any.whl")
    assert [name for name in names(pure_wheel) if name.endswith(".so")] == []


@needs_linux
def test_a_pure_installation_serves(pure_installation: Path) -> None:
    """Without the core the portable provider serves, and the probe names the reason and a remedy for uring."""
    done = python("-c", SERVE, path=pure_installation)
    assert complaints(done.stderr) == ""
    file, provider, refused = json.loads(done.stdout)
    assert Path(file).is_relative_to(pure_installation)
    assert provider == "portable"
    assert all(refused["uring"])


@needs_linux
def test_a_pure_installation_says_so(pure_installation: Path) -> None:
    """``python -m trio_rio probe`` names a compiler as the remedy."""
    done = python("-m", "trio_rio", "probe", path=pure_installation)
    assert "chosen: portable, because" in done.stdout
    assert "compiler" in done.stdout
    assert "uring: the C core is not there\n" in done.stdout


@needs_linux
def test_a_core_that_cannot_be_loaded_is_another_reason(pure_installation: Path, tmp_path: Path) -> None:
    """What the loader says of a file that is there is passed on."""
    shutil.copytree(pure_installation, tmp_path, dirs_exist_ok=True)
    (tmp_path / "trio_rio" / "rio" / "_uring_native.abi3.so").write_bytes(b"nothing to load")
    done = python("-m", "trio_rio", "probe", path=tmp_path)
    assert re.search(r"uring: the C core is not there \(.*_uring_native\.abi3\.so: .+\)", done.stdout)


@needs_linux
@pytest.mark.parametrize("kind", ["pure_wheel", "editable_wheel"])
def test_an_installation_has_the_switch(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """pip puts the switch where Python finds it, of a wheel and with -e: it works until it is removed."""
    venv.create(tmp_path / "venv", symlinks=True)
    interpreter = str(tmp_path / "venv" / "bin" / "python")
    (site_packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    dependencies = site_packages / "dependencies.pth"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", interpreter]
    wheel = request.getfixturevalue(kind)
    subprocess.run([*pip, "install", "-q", "--no-deps", "--no-index", wheel], check=True, timeout=60)
    program = "import trio, sys; print('trio_rio' in sys.modules and trio.run(trio.sleep, 0) is None)"

    def served() -> str:
        dependencies.write_text(sysconfig.get_path("purelib") + "\n")
        others = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment = {**others, "TRIO_RIO_INSTALL": "1", "TRIO_RIO_PROVIDER": "portable"}
        command = [interpreter, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, timeout=60)
        dependencies.write_text("")  # pip must not take what is there for what it is to install
        return done.stdout

    assert served() == "True\n"
    subprocess.run([*pip, "uninstall", "-q", "-y", "trio-rio"], check=True, timeout=60)
    assert served() == "False\n"
    assert [path.name for path in site_packages.iterdir() if "rio" in path.name] == []


def test_the_wheel_has_the_script(pure_wheel: Path) -> None:
    """An installation makes the script `trio-rio`."""
    with zipfile.ZipFile(pure_wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert archive.read(name).decode().split() == ["[console_scripts]", "trio-rio", "=", "trio_rio._cli.main:main"]


@needs_linux
def test_a_pure_installation_measures(pure_installation: Path) -> None:
    """`bench` needs neither the core nor a compiler nor a checkout."""
    done = python("-m", "trio_rio", "bench", "--seconds", "2", "--rounds", "1", path=pure_installation)
    assert complaints(done.stderr) == ""
    assert done.stdout.count("  ratio ") == 4
