"""The recipes of docs/howto/deploy.md run, on the provider that serves here or that ``TRIO_RIO_PROVIDER`` names."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from trio_rio.rio import probe

from .platforms import complaints, needs_interrupts, needs_linux

RECIPES = Path(__file__).resolve().parent.parent / "docs" / "examples" / "deploy"
PAGE = RECIPES.parent.parent / "howto" / "deploy.md"
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def provider() -> str:
    """The provider that each recipe must say serves it."""
    return probe().chosen


@pytest.fixture(autouse=True)
def forced(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipes are about completion queues: where only portable is left, they ask for it."""
    monkeypatch.setenv("TRIO_RIO_PROVIDER", provider)


@pytest.fixture(autouse=True)
def installed() -> None:
    """Skip where the extra of the recipes is not installed."""
    for name in ("hypercorn", "quart_trio", "trio_websocket", "httpx", "h2", "anyio", "trustme"):
        pytest.importorskip(name)


def environment() -> dict[str, str]:
    """Recipes import their neighbours, and write no bytecode beside them."""
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}


def run(*arguments: str, **more: str) -> str:
    """What a program prints that must end well, with nothing to complain of."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=RECIPES,
        env={**environment(), **more},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert (done.returncode, complaints(done.stderr)) == (0, ""), done.stdout
    return done.stdout


@contextlib.contextmanager
def serving(program: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of Hypercorn's, and its address as it says it; killed at the end."""
    with subprocess.Popen(
        [sys.executable, f"{program}.py", *options],
        cwd=RECIPES,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                found = re.search(r"Running on (https?://127\.0\.0\.1:\d+)", line)
                if found:
                    break
            else:
                raise AssertionError(f"the server ended with {process.wait()}")
            yield process, found[1]
        finally:
            process.kill()


def free_port() -> int:
    """A port of the loopback that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_hypercorn_serves_http1_to_both_clients(provider: str) -> None:
    """Hypercorn answers httpx and httpcore, each on completion queues, bodies and all."""
    with serving("hypercorn_server", "--bind", "127.0.0.1:0") as (_, address):
        lines = run("http_clients.py", address, "--times", "3").splitlines()
    by_httpx = f"httpx on {provider}: HTTP/1.1 on {provider}, 0 bytes received"
    by_httpcore = f"httpcore on {provider}: 200 HTTP/1.1 on {provider}, 100000 bytes received"
    assert lines == [by_httpx] * 3 + [by_httpcore] * 3


def test_hypercorn_serves_http2_with_tls(provider: str, tmp_path: Path) -> None:
    """With a certificate Hypercorn speaks HTTP/2, and HTTP/1.1 to who has no other."""
    run("-m", "trustme", "--quiet", "--dir", str(tmp_path), "--identities", "localhost", "127.0.0.1")
    files = ("--certificate", str(tmp_path / "server.pem"), "--key", str(tmp_path / "server.key"))
    with serving("hypercorn_server", "--bind", "127.0.0.1:0", *files) as (_, address):
        said = run("http_clients.py", address, "--certificate", str(tmp_path / "client.pem"), "--times", "2")
    assert said.count(f"httpx on {provider}: HTTP/2 on {provider}, 0 bytes received") == 2
    assert said.count(f"httpcore on {provider}: 200 HTTP/1.1 on {provider}, 100000 bytes received") == 2


@needs_interrupts
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_hypercorn(number: signal.Signals) -> None:
    """SIGTERM, as systemd and Docker send it, and Ctrl-C end the server without an error."""
    with serving("hypercorn_server", "--bind", "127.0.0.1:0") as (process, _):
        process.send_signal(number)
        rest, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, "Traceback" in rest) == (0, False), rest


def test_hypercorn_serves_by_its_own_command(provider: str) -> None:
    """``run -m hypercorn -k trio -w 0`` serves an application in one process, on completion queues."""
    port = free_port()
    command = [
        "-m",
        "trio_rio",
        "run",
        "-m",
        "hypercorn",
        "-k",
        "trio",
        "-w",
        "0",
        "-b",
        f"127.0.0.1:{port}",
        "app:app",
    ]
    with subprocess.Popen(
        [sys.executable, *command], cwd=RECIPES, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if "Running on" in line:
                    break
            assert f"on {provider}" in run("http_clients.py", f"http://127.0.0.1:{port}", "--times", "1")
        finally:
            process.kill()


def test_quart_serves(provider: str) -> None:
    """A Quart-Trio application answers on completion queues."""
    with serving("quart_server", "--port", str(free_port())) as (_, address):
        said = run("http_clients.py", address + "/", "--times", "1", PYTHONWARNINGS="")
    assert f'httpx on {provider}: {{"served_by":"{provider}"}}' in said


@pytest.mark.parametrize("program", ["anyio_echo", "websocket_echo"])
def test_what_a_library_sends_comes_back(program: str, provider: str) -> None:
    """Servers and clients of anyio and of trio-websocket talk to each other on completion queues."""
    lines = run("-W", "error", f"{program}.py").splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"on {provider}: ") and "hello" in line for line in lines)


def test_a_guest_run_serves_beside_a_loop(provider: str) -> None:
    """The run and its host's loop go on together, and both end."""
    lines = run("-W", "error", "guest_mode.py", "--host", "loop", "--port", "0", "--seconds", "1").splitlines()
    assert lines[0].startswith("listening on 127.0.0.1:")
    assert lines[1:] == [f"1 seconds on {provider}"]


@pytest.mark.parametrize("plugin", ["pytest_trio", "anyio"])
def test_suites_run_on_completion_queues(plugin: str, provider: str) -> None:
    """Tests of pytest-trio and of anyio's plugin pass, and the header names the provider."""
    options = ("-p", "trio_rio.pytest_plugin", "-p", "no:cacheprovider", "-p", "no:timeout")  # the extra has no timeout
    said = run("-m", "pytest", *options, f"suite/test_{plugin}.py")
    assert f"trio_rio: provider {provider}, because" in said
    assert re.search(r"\b1 passed\b", said)


# -- files for other programs ------------------------------------------------------------------------------


def test_the_profile_for_containers_allows_io_uring() -> None:
    """The seccomp profile lets the three calls of io_uring through, and refuses the others with an error."""
    profile = json.loads((RECIPES / "seccomp.json").read_text(encoding="utf-8"))
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW"
    assert {rule["action"] for rule in profile["syscalls"]} == {"SCMP_ACT_ERRNO"}
    names = [name for rule in profile["syscalls"] for name in rule["names"]]
    assert [name for name in names if name.startswith("io_uring")] == []
    assert {"mount", "bpf", "ptrace", "unshare", "kexec_load", "clone3"} <= set(names)


@needs_linux
def test_a_program_runs_under_the_profile(provider: str) -> None:
    """With what the profile refuses by name refused, the provider serves as without it."""
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("the numbers of the calls are not installed (linux-libc-dev, x86_64)")
    numbers = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text(encoding="utf-8")))
    profile = json.loads((RECIPES / "seccomp.json").read_text(encoding="utf-8"))
    refused = [
        (int(numbers[name]), rule["errnoRet"])
        for rule in profile["syscalls"]
        for name in rule["names"]
        if name in numbers and "args" not in rule
    ]
    assert len(refused) > 40
    code = (
        "import sys, runpy; sys.path.insert(0, sys.argv[1]); import seccomp_refuse\n"
        f"seccomp_refuse.refuse_calls({refused!r})\n"
        "import ctypes, errno; libc = ctypes.CDLL(None, use_errno=True)\n"
        "assert libc.unshare(0x20000) == -1 and ctypes.get_errno() == errno.EPERM\n"
        "sys.argv = ['anyio_echo.py']; sys.path.insert(0, '.')\n"
        "runpy.run_path('anyio_echo.py', run_name='__main__')\n"
    )
    said = run("-c", code, str(Path(__file__).parent / "packaging"))
    assert said.count(f"on {provider}: hello") == 3


def brought_by(requirements: list[str]) -> set[str]:
    """The names of the distributions that some requirements bring, with what those require without an extra."""
    names: set[str] = set()
    while requirements:
        requirement, _, marker = requirements.pop().partition(";")
        found = re.match(r"[\w.-]+", requirement)
        assert found is not None, requirement
        name = re.sub(r"[-_.]+", "-", found[0]).lower()
        if name not in names and "extra" not in marker:
            names.add(name)
            with contextlib.suppress(metadata.PackageNotFoundError):
                requirements += metadata.requires(name) or []
    return names


def test_the_extra_brings_what_recipes_need() -> None:
    """What the programs import, and what the page starts by ``python -m``, comes with the extra ``recipes``."""
    project = tomllib.loads((RECIPES.parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = brought_by([*project["optional-dependencies"]["recipes"], *project["dependencies"]]) | {"trio-rio"}
    text = "\n".join(path.read_text(encoding="utf-8") for path in RECIPES.rglob("*.py"))
    needed = set(re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE))
    needed |= set(re.findall(r"python -m (\w+)", PAGE.read_text(encoding="utf-8")))
    needed |= {"pytest_trio"}  # a plugin: nobody imports it
    owners = metadata.packages_distributions()
    others = needed - sys.stdlib_module_names - {path.stem for path in RECIPES.rglob("*.py")} - {"trio_rio"}
    assert {"pytest", "trustme", "trio"} <= others
    names = {one: {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners.get(one, ())} for one in others}
    assert [one for one in sorted(others) if not names[one] & brought] == []


def test_each_recipe_is_on_the_page() -> None:
    """The page names each file of the folder."""
    page = PAGE.read_text(encoding="utf-8")
    files = [path.relative_to(RECIPES) for path in RECIPES.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert len(files) > 10
    assert [str(path) for path in files if path.as_posix() not in page] == []
