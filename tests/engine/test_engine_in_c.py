"""The engine in C keeps what coroutines of Python promise: they begin late, complain, and leave lines."""

from __future__ import annotations

import inspect
import os
import socket
import struct
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trio_rio
from trio_rio import RioStream
from trio_rio._engine.fields import native
from trio_rio.testing import current_ledger

from .harness import stdlib_pair

pytestmark = pytest.mark.providers("uring")

needs_engine = pytest.mark.skipif(native is None, reason="there is no engine in C")


@contextmanager
def a_stream() -> Iterator[tuple[RioStream, socket.socket]]:
    """A stream that has its channel, and its peer, a blocking socket."""
    ours, theirs = stdlib_pair()
    with trio.socket.from_stdlib_socket(ours) as sock, theirs:
        stream = RioStream(sock)
        stream._find_channel()
        yield stream, theirs


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# ----------------------------------------------------------------------------------------------------------
# Which engine serves
# ----------------------------------------------------------------------------------------------------------


@needs_engine
async def test_it_serves_where_it_was_built() -> None:
    """Nobody has to ask, and the statistics say so."""
    assert trio_rio.current_statistics().engine == "native"


@pytest.mark.rio_config(engine="python")
async def test_the_engine_in_python_serves_if_it_is_asked_for() -> None:
    """For one run, with the same results."""
    assert trio_rio.current_statistics().engine == "python"
    with a_stream() as (stream, theirs):
        theirs.sendall(b"x")
        assert await stream.receive_some() == b"x"
        await stream.send_all(b"y")
        assert theirs.recv(1) == b"y"


def run_with(engine: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program with TRIO_RIO_ENGINE set."""
    environment = {**os.environ, "TRIO_RIO_ENGINE": engine}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


SAY_ENGINE = """
import trio_rio
async def main(): print(trio_rio.current_statistics().engine, trio_rio._engine.fields.native)
trio_rio.run(main, config=trio_rio.RioConfig(provider="uring"))
"""


def test_the_environment_chooses_for_every_run(rio_provider: str) -> None:
    """With "python" nothing of the engine in C is loaded."""
    done = run_with("python", SAY_ENGINE)
    assert done.stdout.split() == ["python", "None"], done.stderr


def test_an_engine_that_does_not_exist_is_refused(rio_provider: str) -> None:
    """In one sentence, that names the two."""
    done = run_with("rust", SAY_ENGINE)
    assert "TRIO_RIO_ENGINE must be 'native' or 'python', not 'rust'" in done.stderr


def test_it_cannot_serve_every_provider() -> None:
    """Asked for where it cannot be had, it is refused, and not replaced."""

    async def main() -> None: ...

    reasons = (
        "provider 'portable' has no engine in C",
        "the engine in C was not built",
        "TRIO_RIO_ENGINE was 'python' when",
    )
    with pytest.raises(trio_rio.RioError, match=f"engine 'native' was asked for, and ({'|'.join(reasons)})"):
        trio_rio.run(main, config=trio_rio.RioConfig(provider="portable", engine="native"))


FREE_THREADED = """
import logging, sysconfig
real = sysconfig.get_config_var
sysconfig.get_config_var = lambda name: 1 if name == "Py_GIL_DISABLED" else real(name)
import trio_rio
logging.basicConfig(level=logging.INFO, format="%(message)s")
"""


def test_a_free_threaded_python_does_without(rio_provider: str) -> None:
    """The extension is not loaded, though it lies there: it relies on the GIL. The log says so."""
    done = run_with("", FREE_THREADED + SAY_ENGINE)
    assert done.stdout.split() == ["python", "None"], done.stderr
    assert "engine in Python (this Python is free-threaded, and the engine in C relies on the GIL) on " in done.stderr


def test_a_free_threaded_python_refuses_it(rio_provider: str) -> None:
    """Asked for there, it is refused with the reason."""
    done = run_with("native", FREE_THREADED + SAY_ENGINE)
    assert "engine 'native' was asked for, and this Python is free-threaded" in done.stderr
    assert done.stdout == ""


# ----------------------------------------------------------------------------------------------------------
# As a coroutine
# ----------------------------------------------------------------------------------------------------------


async def test_nothing_begins_before_it_is_awaited() -> None:
    """And a call that is never awaited says so."""
    with a_stream() as (stream, _):
        calls: list[Any] = [stream.receive_some(10)]
        assert current_ledger().requests_in_flight == 0
        with pytest.warns(RuntimeWarning, match=r"coroutine 'RioStream.receive_some' was never awaited"):
            calls.clear()


async def test_a_task_may_be_just_the_call() -> None:
    """As with an async function."""
    with a_stream() as (stream, theirs):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.receive_some, 10)
            nursery.start_soon(stream.send_all, b"hello")
            await wait_all_tasks_blocked()
            theirs.sendall(b"x")
        assert theirs.recv(5) == b"hello"


@pytest.mark.parametrize("tracer", ["settrace", "setprofile"])
async def test_a_traced_run(tracer: str) -> None:
    """Where the interpreter takes another way to resume it."""
    with a_stream() as (stream, theirs):
        set_tracer: Callable[[Any], None] = getattr(sys, tracer)
        before: Any = getattr(sys, tracer.replace("set", "get"))()  # it may be that of coverage

        def trace(*_: object) -> Any:
            return trace

        set_tracer(trace)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, b"x")
                nursery.start_soon(stream.receive_some)
                await wait_all_tasks_blocked()
                theirs.sendall(b"y")
        finally:
            set_tracer(before)
        assert theirs.recv(1) == b"x"


async def test_it_is_used_once() -> None:
    """A second time is an error, and so is a value before its time."""
    with a_stream() as (stream, theirs):
        theirs.sendall(b"xy")
        call: Any = stream.receive_some(1)
        assert await call == b"x"
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await call
        early: Any = stream.receive_some(1)
        with pytest.raises(TypeError, match="can't send non-None value to a just-started coroutine"):
            early.send(1)
        assert await early == b"y"


async def test_a_call_that_is_closed_lets_others_go_on() -> None:
    """As a coroutine that is closed in the middle."""
    with a_stream() as (stream, theirs):
        call: Any = stream.send_all(b"x")
        call.send(None)
        call.close()
        assert theirs.recv(1) == b"x"
        await stream.send_all(b"y")
        assert theirs.recv(1) == b"y"


async def test_what_is_thrown_in_comes_out() -> None:
    """Before it has begun, and while it waits."""
    with a_stream() as (stream, _):
        fresh: Any = stream.receive_some(1)
        with pytest.raises(KeyError, match="thrown"):
            fresh.throw(KeyError("thrown"))
        sending: Any = stream.send_all(b"x")
        sending.send(None)
        with pytest.raises(ValueError, match="thrown"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # which Python has since 3.12 for its own
                sending.throw(ValueError, ValueError("thrown"), None)
        await stream.send_all(b"y")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda stream: stream.receive_some(1, 2), TypeError),
        (lambda stream: stream.receive_some(most=1), TypeError),
        (lambda stream: stream.send_all(), TypeError),
        (lambda stream: stream.send_all(b"x", b"y"), TypeError),
        (lambda stream: stream.send_all(bytes=b"x"), TypeError),
    ],
)
async def test_wrong_arguments_are_refused_at_once(call: Callable[[Any], object], error: type[Exception]) -> None:
    """As by a function of Python: when it is called."""
    with a_stream() as (stream, _), pytest.raises(error):
        call(stream)


async def test_arguments_have_names() -> None:
    """Those of the interface."""
    with a_stream() as (stream, theirs):
        theirs.sendall(b"xy")
        assert await stream.receive_some(max_bytes=1) == b"x"
        await stream.send_all(data=b"z")
        assert theirs.recv(1) == b"z"


@pytest.mark.parametrize("name", ["receive_some", "send_all"])
def test_it_has_its_docstring_and_signature(name: str) -> None:
    """For help(), editors, and whoever inspects."""
    method = getattr(RioStream, name)
    assert "Raises:" in (inspect.getdoc(method) or "")
    assert [*inspect.signature(method).parameters][1:] == (["max_bytes"] if name == "receive_some" else ["data"])


# ----------------------------------------------------------------------------------------------------------
# Errors
# ----------------------------------------------------------------------------------------------------------


async def test_a_traceback_names_the_call() -> None:
    """And the cause is the socket's error."""
    with a_stream() as (stream, theirs):
        theirs.sendall(b"x")
        await stream.receive_some()  # there is a free request from now on
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(trio.BrokenResourceError) as caught:
                    await stream.receive_some()
                assert "in receive_some" in "".join(traceback.format_exception(caught.value))
                assert isinstance(caught.value.__cause__, ConnectionResetError)

            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            reset(theirs)


async def test_a_close_wakes_who_waits() -> None:
    """With ClosedResourceError, which names the call."""
    with a_stream() as (stream, _):
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(trio.ClosedResourceError) as caught:
                    await stream.receive_some()
                assert "in receive_some" in "".join(traceback.format_exception(caught.value))

            nursery.start_soon(receive)
            await wait_all_tasks_blocked()
            await stream.aclose()
