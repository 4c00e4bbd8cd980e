"""Real programs: servers, clients and the comparison. Nothing here asserts speed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import attrs
import pytest

from . import __main__ as command_line, programs
from .build import find_compiler
from .compare_programs import Measured, Plan, Sample, measure_program, program_entry, program_text
from .errors import LoadError
from .opponents import Opponent, ServerSettings
from .processes import Placement, running_server, tool_output
from .programs import PROGRAMS, VARIANTS, Program, Variant
from .programs.clients import BODY_BYTES, Drive, Driven, parse_h2load, parse_wrk
from .usage import Usage

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="the load generator needs a C compiler")

WRK_OUTPUT = """Running 1s test @ http://127.0.0.1:8000/
  1 threads and 10 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.97ms    1.06ms  13.96ms   88.18%
  3353 requests in 1.02s, 553.77KB read
{}Requests/sec:   3293.61
"""
H2LOAD_OUTPUT = """finished in 517.97ms, 77.23 req/s, 77.25MB/s
requests: 40 total, 40 started, 40 done, 40 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 40 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 40.01MB (41956172) total, 1.21KB (1236) headers (space savings 74.92%), 40.00MB (41943040) data
"""


def can_run(program: Program, variant: Variant) -> None:
    """Skip the test where it cannot."""
    reason = program.missing() or variant.missing()
    if reason is not None:
        pytest.skip(reason)


def sample(number: int, requests: int, cpu_seconds: float) -> Sample:
    return Sample(number, 0, Driven(requests, 0.5), Usage(cpu_seconds, 9, 0))


# ----------------------------------------------------------------------------------------------------------
# Clients
# ----------------------------------------------------------------------------------------------------------


def test_output_of_wrk_is_understood() -> None:
    """Requests and seconds are those that wrk counted."""
    assert parse_wrk(WRK_OUTPUT.format("")) == Driven(3353, 1.02)


@pytest.mark.parametrize(
    "line",
    ["  Socket errors: connect 0, read 3, write 0, timeout 0\n", "  Non-2xx or 3xx responses: 12\n"],
)
def test_errors_that_wrk_saw_are_errors(line: str) -> None:
    """A run in which an answer was missing, or was an error, makes no figure; the line of wrk is in the error."""
    with pytest.raises(LoadError, match=line.strip()):
        parse_wrk(WRK_OUTPUT.format(line))


@pytest.mark.parametrize("text", ["unable to connect", "  0 requests in 1.00s, 0.00B read\n"])
def test_a_run_of_wrk_without_a_request_is_an_error(text: str) -> None:
    """No count, or a count of nothing, makes no figure."""
    with pytest.raises(LoadError, match="it counted no request"):
        parse_wrk(text)


def test_output_of_h2load_is_understood() -> None:
    """The requests are those that were asked for, the seconds those that h2load took."""
    assert parse_h2load(H2LOAD_OUTPUT, 40) == Driven(40, pytest.approx(0.51797))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("40 succeeded, 0 failed", "39 succeeded, 1 failed", "39 of 40 requests succeeded, 1 failed"),
        (str(40 * BODY_BYTES), str(40 * BODY_BYTES - 1), "41943039 bytes came as the answers to 40 requests"),
        ("finished", "gave up", "it came to no result"),
    ],
)
def test_answers_that_are_not_whole_are_errors(old: str, new: str, message: str) -> None:
    """A failed request, a byte too few, or no result at all makes no figure."""
    with pytest.raises(LoadError, match=message):
        parse_h2load(H2LOAD_OUTPUT.replace(old, new), 40)


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without wrk or h2load the sentence has the name of Debian's package."""
    monkeypatch.setenv("PATH", "")
    assert PROGRAMS["hypercorn_close"].client.missing() == (
        "wrk is not installed. Remedy: install it (Debian: apt install wrk)"
    )
    assert PROGRAMS["hypercorn_http2"].client.missing() == (
        "h2load is not installed. Remedy: install it (Debian: apt install nghttp2-client)"
    )


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("hypercorn_keep_alive", "hypercorn.trio", "hypercorn"),
        ("hypercorn_http2", "trustme", "trustme"),
        ("trio_websocket", "trio_websocket", "trio-websocket"),
    ],
)
def test_a_server_that_is_not_installed_is_named(
    name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its package a program cannot run, and says which one to install."""
    program = attrs.evolve(PROGRAMS[name], packages={package: module})
    monkeypatch.setitem(sys.modules, module, None)
    assert str(program.missing()).endswith(f"Remedy: pip install {package}")


def test_a_client_that_fails_is_an_error_with_its_last_words() -> None:
    """What a client wrote before it ended badly is in the error; one that does not end is stopped."""
    with pytest.raises(LoadError, match=r"ended with code 1:\nno such luck"):
        tool_output([sys.executable, "-c", "import sys; sys.exit('no such luck')"], cpu=None, timeout_seconds=30)
    with pytest.raises(LoadError, match=r"did not end within 0\.2 s"):
        tool_output([sys.executable, "-c", "import time; time.sleep(60)"], cpu=None, timeout_seconds=0.2)


LYING_WEBSOCKET = """
import trio, trio_websocket, json
async def answer(request):
    connection = await request.accept()
    while True:
        await connection.get_message()
        await connection.send_message("something else")
async def main():
    async with trio.open_nursery() as nursery:
        server = await nursery.start(trio_websocket.serve_websocket, answer, "127.0.0.1", 0, None)
        print(json.dumps({"port": server.port}), flush=True)
trio.run(main)
"""


def test_a_wrong_echo_of_a_websocket_is_an_error() -> None:
    """The client of trio-websocket looks at what comes back."""
    can_run(PROGRAMS["trio_websocket"], VARIANTS["stock"])
    lying = Opponent("lying", "lying", lambda settings: [sys.executable, "-c", LYING_WEBSOCKET])
    with running_server(lying, ServerSettings("echo", 1)) as server:
        with pytest.raises(LoadError, match="something came back that was not sent"):
            PROGRAMS["trio_websocket"].client.drive(Drive(server.port, 1, 0.2))


# ----------------------------------------------------------------------------------------------------------
# Comparison
# ----------------------------------------------------------------------------------------------------------


@needs_compiler
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_each_program_answers(name: str, variant: str) -> None:
    """Each program serves its client on stock Trio and on each provider, and the server says which one it is on."""
    program, chosen = PROGRAMS[name], VARIANTS[variant]
    can_run(program, chosen)
    with running_server(program.opponent(chosen), ServerSettings("echo", 1), None, chosen.environment) as server:
        driven = program.client.drive(Drive(server.port, 2, 0.1))
    assert server.facts.get("provider") == chosen.provider
    assert driven.requests >= 2
    assert driven.seconds > 0


def test_a_provider_that_cannot_serve_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant whose provider is not available here says why, in the words of the probe."""
    refused = attrs.make_class("Provider", ["name", "is_available", "reason", "remedy"])("uring", False, "no", "pray")
    fake = attrs.make_class("Module", ["probe"])(lambda: attrs.make_class("Report", ["providers"])([refused]))
    monkeypatch.setattr(programs, "load_trio_rio", lambda: fake)
    monkeypatch.setattr(programs, "trio_rio_missing", lambda: None)
    assert VARIANTS["uring"].missing() == "no (pray)"
    assert VARIANTS["stock"].missing() is None


def test_a_gain_is_stock_divided_by_it() -> None:
    """Wins and losses stand in one table: above 1 where the variant costs less than stock, below where more."""
    measured = {
        "stock": Measured(samples=[sample(0, 100, 0.02), sample(1, 100, 0.04)]),
        "uring": Measured(samples=[sample(0, 100, 0.01), sample(1, 100, 0.02)]),
        "portable": Measured(samples=[sample(0, 100, 0.04), sample(1, 100, 0.08)]),
    }
    entry = program_entry(PROGRAMS["anyio_echo"], measured, "stock")
    assert entry["variants"]["stock"]["figure"]["median"] == pytest.approx(300)
    rows = {line.split()[0]: line.split()[1:] for line in program_text(entry).splitlines()[3:]}
    assert (rows["uring"][4], rows["uring"][-1]) == ("2.00", "better")
    assert (rows["portable"][4], rows["portable"][-1]) == ("0.500", "worse")
    assert rows["stock"][4:] == ["1", "baseline"]


@needs_compiler
def test_a_variant_that_fails_is_reported_and_the_others_go_on() -> None:
    """A server that does not start is in the table with its reason; the other has all its samples."""
    can_run(PROGRAMS["anyio_echo"], VARIANTS["stock"])
    broken = Variant("broken", "trio_rio", "no such provider")
    plan = Plan(rounds=2, seconds=0.05, placement=Placement())
    measured = measure_program(PROGRAMS["anyio_echo"], [VARIANTS["stock"], broken], plan, lambda text: None)
    assert len(measured["stock"].samples) == 2
    entry = program_entry(PROGRAMS["anyio_echo"], measured, "stock")
    assert "broken FAILED: the broken server ended" in program_text(entry)


@needs_compiler
def test_the_command_reports_each_variant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a row for each variant, and the JSON every documented field."""
    can_run(PROGRAMS["anyio_echo"], VARIANTS["portable"])
    file = tmp_path / "result.json"
    arguments = "programs --programs anyio_echo --variants stock portable --rounds 1 --seconds 0.1 --json"
    assert command_line.main([*arguments.split(), str(file)]) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines()[3:] if line]
    assert rows == ["stock", "portable"]
    result = json.loads(file.read_text())
    assert set(result) == {"schema", "started_at", "arguments", "machine", "left_out", "programs"}
    (entry,) = result["programs"]
    assert {"program", "title", "client", "client_version", "connections", "unit", "figure", "baseline"} <= set(entry)
    variant = entry["variants"]["portable"]
    assert set(variant) == {"facts", "failure", "figure", "ratio", "gain", "verdict", "samples"}
    assert set(variant["samples"][0]) == {"round", "position", "driven", "used", "cpu_us_per_request"}
    assert variant["gain"]["median"] == pytest.approx(1 / variant["ratio"]["median"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--programs", "nothing"], "unknown program nothing; known: hypercorn_keep_alive"),
        (["--variants", "nobody"], "unknown variant nobody; known: stock, uring, portable"),
        (["--variants", "portable"], "the baseline stock is not among the variants"),
    ],
)
def test_a_wrong_name_is_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is not known ends the command with exit code 2 and the names that are."""
    assert command_line.main(["programs", *arguments]) == 2
    assert message in capsys.readouterr().err
