"""What a change is judged by: one session each. ``nox --list`` shows them; what follows ``--`` goes to the tool.

The commands stand here and nowhere else: ``.ci/run``, the workflows and CONTRIBUTING.md name sessions.

A session makes a virtual environment of its own and keeps it for the next time. Who has one with all extras already,
as ``.ci/run`` has, lets the sessions run in that: ``nox --default-venv-backend none --no-install``. A session that
must have one of its own (``lowest``, ``wheels``) makes it all the same.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "tests"]

# After a long run: what failed, and nothing of what passed or was skipped.
BRIEF = ("-q", "-rfE")


# What names its provider itself, or knows nothing of one: the session `tests` has run all of it, on each.
OF_NO_PROVIDER = [
    f"--ignore=tests/{name}"
    for name in (
        "bench", "differential", "native", "test_contributing.py", "test_docs.py", "test_layers.py",
        "test_shell_blocks.py", "test_terminals.py", "test_tidy.py",
    )
]  # fmt: skip


@nox.session
def tests(session: nox.Session) -> None:
    """The tests, on every provider that serves here."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def portable(session: nox.Session) -> None:
    """The tests with the portable provider forced."""
    session.install("-e", ".[test]")
    environment = {"TRIO_RIO_PROVIDER": "portable"}
    session.run("python", "-m", "pytest", *BRIEF, *OF_NO_PROVIDER, *session.posargs, env=environment)


@nox.session
def engine_in_python(session: nox.Session) -> None:
    """What streams and sockets promise, with the engine in Python; wants io_uring."""
    session.install("-e", ".[test]")
    which = (
        "stream or contracts or nothing or engines or engine_in_c or send_now or first_calls or as_stock or run_sockets"
    )
    environment = {"TRIO_RIO_ENGINE": "python", "TRIO_RIO_PROVIDER": "uring"}
    session.run("python", "-m", "pytest", *BRIEF, "tests/engine", "-k", which, *session.posargs, env=environment)


@nox.session
def refused(session: nox.Session) -> None:
    """The tests with io_uring refused by seccomp, as in a container; Linux only."""
    session.install("-e", ".[test]")
    refuse = ("python", "tests/packaging/seccomp_refuse.py", "--")
    session.run(*refuse, "python", "-m", "pytest", *BRIEF, *OF_NO_PROVIDER, *session.posargs)


@nox.session(venv_backend="venv", reuse_venv=False)
def lowest(session: nox.Session) -> None:
    """The tests with the lowest version of each dependency that pyproject.toml allows; of tools, the newest.

    On uring, which relies on more of Trio than the other providers do; wants io_uring. In a copy of the checkout,
    since the installation builds the C core, which other sessions may be using.
    """
    copy = Path(session.create_tmp()).resolve() / "checkout"
    shutil.rmtree(copy, ignore_errors=True)
    # Caches change while other sessions run.
    left_out = shutil.ignore_patterns(
        ".venv", ".nox", ".coverage*", ".*_cache", ".hypothesis", "__pycache__", "*.so", "_build", "build", "dist"
    )
    shutil.copytree(".", copy, ignore=left_out)
    session.install("uv")
    session.chdir(copy)
    session.run_install("uv", "pip", "install", "--quiet", "--resolution", "lowest-direct", "-e", ".[cli,demo]")
    session.run_install("uv", "pip", "install", "--quiet", "-e", ".[test]")  # what is there already stays
    # Neither the wheels nor Wine know anything of these versions, nor do the programs in C; what went wrong once was
    # ours each time.
    folders = ("native", "packaging", "regressions", "windows")
    ignored = [*OF_NO_PROVIDER, *(f"--ignore=tests/{folder}" for folder in folders)]
    environment = {"TRIO_RIO_PROVIDER": "uring"}
    session.run("python", "-m", "pytest", *BRIEF, *ignored, *session.posargs, env=environment)


@nox.session
def lint(session: nox.Session) -> None:
    """What .pre-commit-config.yaml lists, on every file; it mends what it can, and fails then too."""
    session.install("pre-commit")
    session.run("pre-commit", "run", "--all-files", "--show-diff-on-failure", *session.posargs)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy, strict, on the package, the tests and the examples."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "mypy", "--strict", *session.posargs)


@nox.session
def public_types(session: nox.Session) -> None:
    """Pyright finds the type of each public name."""
    session.install("-e", ".[test,types]")
    session.run("python", "-m", "pytest", "-q", "tests/packaging/test_types.py", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, with warnings as errors, into docs/_build/html."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session
def news(session: nox.Session) -> None:
    """What the changelog will say. With a branch, ``-- origin/main``: what came since has a fragment."""
    session.install("-e", ".[docs]")
    if session.posargs:
        session.run("python", "-m", "towncrier", "check", "--compare-with", *session.posargs)
    session.run("python", "-m", "towncrier", "build", "--draft")


@nox.session
def coverage(session: nox.Session) -> None:
    """The branch coverage of tests that ran with COVERAGE_PROCESS_START=pyproject.toml."""
    session.install("coverage")
    session.run("python", "-m", "coverage", "combine", "-q")
    session.run("python", "-m", "coverage", "report", *session.posargs)


@nox.session(venv_backend="venv", reuse_venv=False)
def wheels(session: nox.Session) -> None:
    """Source distribution and wheel, into dist/; the wheel is installed and tests itself, away from the checkout."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", *session.posargs)
    session.run("python", "-m", "twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    session.install(*map(str, Path("dist").resolve().glob("*.whl")))
    session.chdir(session.create_tmp())
    session.run("python", "-m", "trio_rio", "selftest")


@nox.session
def sanitizers(session: nox.Session) -> None:
    """The C core under ASan, UBSan and TSan; wants gcc and io_uring."""
    session.install("-e", ".[test]")
    session.run("bash", "tests/sanitizers/run.sh", *session.posargs, external=True)


@nox.session
def windows(session: nox.Session) -> None:
    """The tests and Trio's own suite on Windows CPython under Wine; wants Debian's packages and Python 3.11."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "tests.windows", *(session.posargs or ["all"]))


@nox.session(venv_backend="none")
def trio_suite(session: nox.Session) -> None:
    """Trio's own suite, on stock Trio and on each provider, in an environment that the script makes."""
    session.run("bash", "tests/suites/trio.sh", *session.posargs)
