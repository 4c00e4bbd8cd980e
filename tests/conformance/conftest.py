"""The providers that the conformance suite runs on, and a table with a ledger on each.

``TRIO_RIO_PROVIDER`` restricts the suite to one provider, which must serve then. Without it a provider that the system
refuses is skipped with the reason; but in CI with ``TRIO_RIO_EXPECT_URING=1`` a refusal of uring fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from trio_rio.rio import Provider, open_provider
from trio_rio.rio.errors import RioUnavailableError

from .harness import Table, open_table

PROVIDERS = ("winsock" if sys.platform == "win32" else "uring", "portable")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat what uses a provider for each one."""
    if "provider_name" in metafunc.fixturenames:
        forced = os.environ.get("TRIO_RIO_PROVIDER")
        metafunc.parametrize("provider_name", [forced] if forced else PROVIDERS, indirect=True)


def must_serve(name: str) -> bool:
    """Whether a refusal of this provider is a failure rather than a skip."""
    if os.environ.get("TRIO_RIO_PROVIDER"):
        return True
    return name == "uring" and bool(os.environ.get("CI")) and os.environ.get("TRIO_RIO_EXPECT_URING") == "1"


@pytest.fixture
def provider_name(request: pytest.FixtureRequest) -> str:
    """The name of a provider that serves here."""
    name: str = request.param
    try:
        open_provider(name).close()
    except RioUnavailableError as error:
        if must_serve(name):
            pytest.fail(str(error))
        pytest.skip(str(error))
    return name


@pytest.fixture
def table(provider_name: str) -> Iterator[Table]:
    """A provider with books kept on it; they are checked when the test has passed."""
    with open_table(provider_name) as table:
        yield table


@pytest.fixture
def provider(table: Table) -> Provider:
    """The provider of :func:`table`."""
    return table.provider
