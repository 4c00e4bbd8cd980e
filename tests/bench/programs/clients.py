"""The clients of real programs: wrk and h2load, one of trio-websocket, and the benchmark's own load generator."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable

import attrs

from ..errors import LoadError
from ..processes import LoadOptions, connected_generator, tool_output
from ..workloads import Shape

# What one answer over HTTP/2 has.
BODY_BYTES = 1024 * 1024
# What h2load asks for first, on each connection, to learn how fast the server is.
FIRST_REQUESTS = 4
MESSAGE_BYTES = 64
TIMEOUT_SECONDS = 30.0
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0}


@attrs.frozen
class Drive:
    """What a client is told.

    Args:
      port: of the server, on 127.0.0.1.
      connections: at once.
      seconds: how long, about.
      cpu: the client's; ``None`` for any.
    """

    port: int
    connections: int
    seconds: float
    cpu: int | None = None


@attrs.frozen
class Driven:
    """What a client saw.

    Args:
      requests: with their answers.
      seconds: that they took.
    """

    requests: int
    seconds: float


def _nothing() -> str | None:
    return None


@attrs.frozen
class Client:
    """A client program.

    Args:
      name: in results.
      drive: drives a server once, and raises LoadError when an answer was wrong or missing.
      missing: why it cannot run here, or ``None``.
      version: which one is here, as it says itself; ``None`` where that is told elsewhere.
    """

    name: str
    drive: Callable[[Drive], Driven]
    missing: Callable[[], str | None] = _nothing
    version: Callable[[], str | None] = _nothing


def _seconds(number: str, unit: str) -> float:
    return float(number) * _UNITS[unit]


# ----------------------------------------------------------------------------------------------------------
# wrk
# ----------------------------------------------------------------------------------------------------------


def parse_wrk(text: str) -> Driven:
    """What wrk counted.

    Raises:
      LoadError: some requests failed, or there was none.
    """
    for line in text.splitlines():
        if "Socket errors" in line or "Non-2xx" in line:
            raise LoadError("wrk", f"not every request was answered: {line.strip()}")
    found = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", text)
    if found is None or found[1] == "0":
        raise LoadError("wrk", f"it counted no request:\n{text.strip()}")
    return Driven(int(found[1]), _seconds(found[2], found[3]))


def _wrk(*headers: str) -> Callable[[Drive], Driven]:
    def drive(told: Drive) -> Driven:
        # It takes whole seconds only.
        command = ["wrk", "-t", "1", "-c", str(told.connections), "-d", f"{math.ceil(told.seconds)}s"]
        for header in headers:
            command += ["-H", header]
        command.append(f"http://127.0.0.1:{told.port}/")
        return parse_wrk(tool_output(command, cpu=told.cpu, timeout_seconds=told.seconds + TIMEOUT_SECONDS))

    return drive


# ----------------------------------------------------------------------------------------------------------
# h2load
# ----------------------------------------------------------------------------------------------------------


def parse_h2load(text: str, requests: int) -> Driven:
    """What h2load counted, when it is what was asked for, and every answer was whole.

    Raises:
      LoadError: it is not.
    """
    time = re.search(r"finished in ([\d.]+)(us|ms|s|min)", text)
    counts = re.search(r"requests: .* (\d+) succeeded, (\d+) failed", text)
    data = re.search(r"\((\d+)\) data", text)
    if time is None or counts is None or data is None:
        raise LoadError("h2load", f"it came to no result:\n{text.strip()}")
    if (int(counts[1]), int(counts[2])) != (requests, 0):
        raise LoadError("h2load", f"{counts[1]} of {requests} requests succeeded, {counts[2]} failed")
    if int(data[1]) != requests * BODY_BYTES:
        raise LoadError("h2load", f"{data[1]} bytes came as the answers to {requests} requests of {BODY_BYTES} bytes")
    return Driven(requests, _seconds(time[1], time[2]))


def _h2load_once(told: Drive, requests: int) -> Driven:
    command = ["h2load", "-c", str(told.connections), "-n", str(requests), f"https://127.0.0.1:{told.port}/"]
    return parse_h2load(tool_output(command, cpu=told.cpu, timeout_seconds=told.seconds + TIMEOUT_SECONDS), requests)


def _h2load(told: Drive) -> Driven:
    # With a time limit it would drop what is under way at the end, which costs the server and is not counted. So it is
    # given a number, which comes from a first look at the server.
    first = _h2load_once(told, told.connections * FIRST_REQUESTS)
    wanted = math.ceil(first.requests * told.seconds / first.seconds / told.connections) * told.connections
    second = _h2load_once(told, wanted)
    return Driven(first.requests + second.requests, first.seconds + second.seconds)


# ----------------------------------------------------------------------------------------------------------
# Messages
# ----------------------------------------------------------------------------------------------------------


def _websocket(told: Drive) -> Driven:
    numbers = [str(told.port), str(told.connections), str(told.seconds)]
    command = [sys.executable, "-m", "tests.bench.programs.websocket_client", *numbers]
    text = tool_output(command, cpu=told.cpu, timeout_seconds=told.seconds + TIMEOUT_SECONDS)
    return Driven(**json.loads(text))


def _messages(told: Drive) -> Driven:
    options = LoadOptions("echo", Shape(told.connections, MESSAGE_BYTES), seconds=told.seconds)
    with connected_generator(told.port, options, told.cpu) as generator:
        result = generator.run()
    return Driven(result.messages, result.seconds)


def _version_of(program: str) -> Callable[[], str | None]:
    def version() -> str | None:
        # wrk tells its version, and that it failed.
        result = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        lines = result.stdout.splitlines()
        return lines[0] if lines else None

    return version


def _needs(program: str, package: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        if shutil.which(program) is None:
            return f"{program} is not installed. Remedy: install it (Debian: apt install {package})"
        return None

    return missing


WRK = Client("wrk", _wrk(), _needs("wrk", "wrk"), _version_of("wrk"))
WRK_CLOSE = Client("wrk", _wrk("Connection: close"), _needs("wrk", "wrk"), _version_of("wrk"))
H2LOAD = Client("h2load", _h2load, _needs("h2load", "nghttp2-client"), _version_of("h2load"))
WEBSOCKET_CLIENT = Client("trio-websocket", _websocket)
MESSAGE_CLIENT = Client("load generator", _messages)
