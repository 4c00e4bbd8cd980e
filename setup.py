"""The C core and the engine in C: built where they can be, left out where they cannot.

Facts. The ``uring`` provider is C, made with cffi in API mode; the engine in C is an extension that is written by hand.
Both have a twin in Python: the ``portable`` provider, and the engine in Python. cffi sets the limited API by itself,
except on free-threaded Python before 3.15, and setuptools does not put that into the name of the wheel by itself. The
engine in C relies on the GIL.

Consequence. A missing compiler, missing Python headers or an old libc must not fail the installation, and the
wheel's name must say what is in it.

Decision. The extensions are optional: a failure is a warning that names the consequence. The wheel is tagged
``cp311-abi3`` when the extensions inside it are abi3, ``py3-none-any`` when there is none, and for this very Python
otherwise. A free-threaded Python gets no engine in C.
"""

from __future__ import annotations

import logging
import sys
import sysconfig
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

SWITCH = "trio_rio.pth"  # see _trio_rio_switch.py
BUILD_SCRIPT = "trio_rio/rio/uring/build.py"
ABI3_SINCE = "cp311"  # requires-python

ENGINE = "trio_rio._engine._native"

IS_LINUX = sys.platform.startswith("linux")
IS_FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
HAS_ABI3 = sys.implementation.name == "cpython" and not IS_FREE_THREADED and not hasattr(sys, "gettotalrefcount")

# What an installation does without an extension.
WITHOUT = {ENGINE: "the engine in Python will serve, which costs more"}
WITHOUT_CORE = "the portable provider will serve"

log = logging.getLogger("trio_rio.setup")


def engine_in_c() -> Extension:
    """The engine in C, for the limited API."""
    folder, tables = Path("trio_rio/_engine/native"), Path("trio_rio/rio/native")
    return Extension(
        ENGINE,
        sources=[str(path) for path in sorted(folder.glob("*.c"))],
        depends=[*map(str, sorted(folder.glob("*.h"))), str(tables / "table.h")],
        include_dirs=[str(tables)],
        extra_compile_args=["-std=c11", "-Wall", "-Wextra"],
        py_limited_api=True,
        optional=True,
    )


class OptionalBuildExt(build_ext):
    """Compile if that works. What failed is said; the installation goes on without it."""

    def finalize_options(self) -> None:
        """Mark every extension optional: setuptools then copies and lists only those that were built."""
        super().finalize_options()
        for extension in self.extensions or ():
            extension.optional = True

    def build_extension(self, ext: Extension) -> None:
        """Build one extension; the compiler or the headers may be missing."""
        if not (self.debug or self.inplace or self.editable_mode):
            ext.extra_link_args = [*(ext.extra_link_args or ()), "-s"]  # in a wheel nobody looks for symbols
        try:
            super().build_extension(ext)
        # Broad on purpose: distutils, setuptools and the platform each fail in their own way, and none
        # of them may stop the installation.
        except Exception as error:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)  # of an earlier build
            log.warning(
                "trio_rio: %s was not built: %s. Installed without it: %s. With a C compiler, the Python headers "
                "and the kernel headers (Debian: gcc python3-dev linux-libc-dev) install again with --no-cache-dir to "
                "have it.",
                ext.name,
                error,
                WITHOUT.get(ext.name, WITHOUT_CORE),
            )

    def get_outputs(self) -> list[str]:
        """The files that are really there: an extension that was not built is not installed."""
        return [name for name in super().get_outputs() if Path(name).exists()]


class BuildPyWithSwitch(build_py):
    """Put ``trio_rio.pth`` beside the package, where ``site`` reads it; setuptools has no word for such a file."""

    def run(self) -> None:
        """Copy it to where the modules are put together, and so into the wheel, also for ``pip install -e``."""
        super().run()
        folder: str = self.build_lib
        if self.editable_mode:  # what is packed then is what stands where modules would be installed
            install: Any = self.get_finalized_command("install")
            folder = install.install_lib
        self.copy_file(SWITCH, str(Path(folder, SWITCH)))

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """The files that are installed."""
        return [*super().get_outputs(include_bytecode), str(Path(self.build_lib, SWITCH))]


class HonestBdistWheel(bdist_wheel):
    """A wheel whose tag says what is in it."""

    def finalize_options(self) -> None:
        """Ask for the abi3 tag where cffi uses the limited API."""
        if IS_LINUX and HAS_ABI3:
            self.py_limited_api = ABI3_SINCE
        super().finalize_options()

    def get_tag(self) -> tuple[str, str, str]:
        """Called when the tree is complete: only now it is known whether there is an extension."""
        assert self.bdist_dir is not None
        if not any(Path(self.bdist_dir).rglob("_*native.*.so")):
            self.root_is_pure = True
        return super().get_tag()


setup(
    cffi_modules=[f"{BUILD_SCRIPT}:ffibuilder"] if IS_LINUX else [],
    ext_modules=[engine_in_c()] if IS_LINUX and HAS_ABI3 else [],
    cmdclass={"build_py": BuildPyWithSwitch, "build_ext": OptionalBuildExt, "bdist_wheel": HonestBdistWheel},
)
