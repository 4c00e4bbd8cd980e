"""Real programs that people run on Trio, as they are: servers of other projects, driven by clients of others.

A program is a server, a client and a number of connections. The server is started as each opponent is (see
:mod:`..opponents`): it prints one line of JSON with its ``port`` when it serves. It is run in several ways, its
variants: on stock Trio, and on trio_rio with one provider or another. The code is the same; only ``trio.run`` is not.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import attrs

from ..arguments import PROVIDER_VARIABLE
from ..opponents import Opponent
from ..opponents.trio_rio_run import load_trio_rio, missing as trio_rio_missing
from .clients import H2LOAD, MESSAGE_CLIENT, WEBSOCKET_CLIENT, WRK, WRK_CLOSE, Client

Runner: TypeAlias = Literal["trio", "trio_rio"]


@attrs.frozen
class Variant:
    """One way to run a program.

    Args:
      name: on the command line and in results.
      runner: whose ``run`` it is.
      provider: of trio_rio.
    """

    name: str
    runner: Runner
    provider: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What it adds to the server's environment."""
        return {PROVIDER_VARIABLE: self.provider} if self.provider else {}

    def missing(self) -> str | None:
        """Why it cannot run here, or ``None``."""
        if self.runner == "trio":
            return None
        reason = trio_rio_missing()
        if reason is not None:
            return reason
        known = {provider.name: provider for provider in load_trio_rio().probe().providers}
        provider = known[self.provider]
        return None if provider.is_available else f"{provider.reason} ({provider.remedy})"


@attrs.frozen
class Program:
    """One server of other people's making, with the client that drives it.

    Args:
      name: on the command line and in results.
      title: for people.
      module: of this package; run with the name of a runner, then ``arguments``.
      client: drives it.
      connections: of the client.
      packages: what the server imports, by the names that they are installed by, and are imported by.
      arguments: for the server.
    """

    name: str
    title: str
    module: str
    client: Client
    connections: int
    packages: Mapping[str, str]
    arguments: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """Why it cannot run here, or ``None``."""
        for package, module in self.packages.items():
            try:
                importlib.import_module(module)
            except ImportError as error:
                return f"{package} cannot be imported ({error}). Remedy: pip install {package}"
        return self.client.missing()

    def opponent(self, variant: Variant) -> Opponent:
        """The server in one of its variants."""
        command = [sys.executable, "-m", f"tests.bench.programs.{self.module}", variant.runner, *self.arguments]
        return Opponent(variant.name, f"{self.title} on {variant.name}", lambda settings: command)


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {
        "stock": Variant("stock", "trio"),
        "uring": Variant("uring", "trio_rio", "uring"),
        "portable": Variant("portable", "trio_rio", "portable"),
    }
)

_HYPERCORN = {"hypercorn": "hypercorn.trio"}

PROGRAMS: Mapping[str, Program] = MappingProxyType(
    {
        program.name: program
        for program in (
            Program(
                "hypercorn_keep_alive", "Hypercorn, HTTP/1.1 hello, keep-alive", "hypercorn_server", WRK, 10, _HYPERCORN
            ),
            Program(
                "hypercorn_close",
                "Hypercorn, HTTP/1.1 hello, Connection: close",
                "hypercorn_server",
                WRK_CLOSE,
                10,
                _HYPERCORN,
            ),
            Program(
                "hypercorn_http2",
                "Hypercorn, HTTP/2 over TLS, 1 MiB",
                "hypercorn_server",
                H2LOAD,
                4,
                {**_HYPERCORN, "trustme": "trustme"},
                ("--tls",),
            ),
            Program(
                "trio_websocket",
                "trio-websocket, echo",
                "websocket_server",
                WEBSOCKET_CLIENT,
                10,
                {"trio-websocket": "trio_websocket"},
            ),
            Program("anyio_echo", "anyio, TCP echo", "anyio_server", MESSAGE_CLIENT, 100, {"anyio": "anyio"}),
        )
    }
)
