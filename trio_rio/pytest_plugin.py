"""Run any suite that uses Trio on trio_rio: ``pytest -p trio_rio.pytest_plugin --rio-provider=uring``.

The suite is not changed: Trio itself is, by :func:`trio_rio.install`, for the time of the session.
"""

from __future__ import annotations

import pytest

import trio_rio
from trio_rio._run import installed_config
from trio_rio.rio.chooser import ENVIRONMENT_VARIABLE, check_provider_name

_environment = pytest.StashKey[pytest.MonkeyPatch]()
_replaced = pytest.StashKey[trio_rio.RioConfig | None]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--rio-provider``."""
    parser.addoption(
        "--rio-provider",
        default=None,
        metavar="NAME",
        help="provider: winsock, uring or portable; default: TRIO_RIO_PROVIDER, else the first that works",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Install trio_rio. A provider that is unknown, or cannot serve, ends the session with the reason."""
    name = config.getoption("--rio-provider")
    try:
        if name is not None:
            check_provider_name(name, "--rio-provider")
            # Also for tests that call trio_rio.run() themselves, and for their children.
            config.stash[_environment] = pytest.MonkeyPatch()
            config.stash[_environment].setenv(ENVIRONMENT_VARIABLE, name)
        # By whomever it is installed already: the session chooses, and gives that back.
        config.stash[_replaced] = installed_config()
        trio_rio.uninstall()
        trio_rio.install()
    except (ValueError, trio_rio.RioUnavailableError) as error:
        raise pytest.UsageError(str(error)) from None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Uninstall it, and install what was installed before."""
    trio_rio.uninstall()
    if _environment in config.stash:
        config.stash[_environment].undo()
    replaced = config.stash.get(_replaced, None)
    if replaced is not None:
        trio_rio.install(replaced)


def pytest_report_header(config: pytest.Config) -> str:
    """Say which provider serves, and why."""
    report = trio_rio.probe(config.getoption("--rio-provider"))
    return f"trio_rio: provider {report.chosen}, because {report.chosen_because}"
