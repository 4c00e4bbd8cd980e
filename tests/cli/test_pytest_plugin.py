"""``pytest -p trio_rio.pytest_plugin``: a suite that knows nothing of trio_rio runs on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..platforms import FOREIGN_PROVIDER

SUITE = """
import trio, trio_rio

def test_runs_on_the_backend():
    async def main():
        return trio_rio.current_statistics().provider
    for run in (trio.run, trio_rio.run):
        print("served by", run(main))
"""


def run_suite(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-p", "trio_rio.pytest_plugin", "-p", "no:cacheprovider", "-s", *options]
    inherited = {name: value for name, value in os.environ.items() if name != "TRIO_RIO_PROVIDER"}
    return subprocess.run(
        [*command, "test_it.py"],
        cwd=folder,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_the_provider_is_chosen_by_option(tmp_path: Path, rio_provider: str) -> None:
    """--rio-provider forces the provider; the header says so."""
    result = run_suite(tmp_path, f"--rio-provider={rio_provider}")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"trio_rio: provider {rio_provider}, because" in result.stdout
    assert result.stdout.count(f"served by {rio_provider}") == 2


def test_the_environment_chooses_where_the_option_is_silent(tmp_path: Path) -> None:
    """TRIO_RIO_PROVIDER forces the provider of a session without the option."""
    result = run_suite(tmp_path, TRIO_RIO_PROVIDER="portable")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("served by portable") == 2


@pytest.mark.parametrize(
    ("options", "environment", "words"),
    [
        (["--rio-provider=pigeon"], {}, ["--rio-provider", "pigeon", "choose one of"]),
        ([], {"TRIO_RIO_PROVIDER": "pigeon"}, ["TRIO_RIO_PROVIDER", "pigeon", "choose one of"]),
        ([f"--rio-provider={FOREIGN_PROVIDER}"], {}, [f"'{FOREIGN_PROVIDER}' is not available", "Remedy"]),
    ],
)
def test_a_provider_that_cannot_serve_ends_the_session(
    tmp_path: Path, options: list[str], environment: dict[str, str], words: list[str]
) -> None:
    """A wrong name, or a provider that is refused, is a usage error that says what is wrong; no test runs."""
    result = run_suite(tmp_path, *options, **environment)
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr
    assert "served by" not in result.stdout
