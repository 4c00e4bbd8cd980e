"""What differs by design, and why: each row explains some differences of some modes.

There are two sorts of rows. An *alike* makes lines that may differ the same, on both sides. A *cut* is for what changes
all that comes after it: what stands before it must be the same, and after it only whether what was heard is what was
sent.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

import attrs

from .modes import Mode
from .play import Trace
from .program import LARGE_SIZE, Program, Step


@attrs.frozen
class Alike:
    """Lines that match end in the same way."""

    reason: str
    pattern: str
    instead: str
    calls: tuple[str, ...] = ()  # only of programs that have one of these; none: of all

    def normal(self, program: Program, trace: Trace) -> Trace:
        """A trace as it is compared."""
        if self.calls and not program.has(*self.calls):
            return trace
        return [re.sub(self.pattern, self.instead, line) for line in trace]


@attrs.frozen
class Cut:
    """From a line that is one of these on, all may be otherwise. ``is_one`` gets stock's lines, and a line of ours."""

    reason: str
    is_one: Callable[[Program, Trace, str], bool]
    calls: tuple[str, ...] = ()  # only of programs that have one of these; none: of all

    def begins(self, program: Program, expected: Trace, line: str) -> bool:
        """Whether it begins with a line of ours."""
        return (not self.calls or program.has(*self.calls)) and self.is_one(program, expected, line)


ENDINGS = {"close", "aclose", "detach", "notify_closing"}
RESULT = re.compile(r"^(.*)\.(\w+)\((.*?)\)(.*?) \[(\d+)\] -> (.*)$")
BREAKING = ("peer_reset", "peer_close", "close", "aclose")
REFUSED = "ConnectionRefusedError"
LATE = r"(BrokenPipeError|ConnectionResetError|ConnectionRefusedError|OSError) errno (32|104|111|89)"

RESET = r"(ConnectionResetError errno 104|BrokenResourceError from errno 104)"


def phase_of(line: str) -> int | None:
    """In which phase a line of a trace came about."""
    words = line.split(maxsplit=1)
    return int(words[0]) if words and words[0].isdigit() else None


def is_same_tick(program: Program, expected: Trace, line: str) -> bool:
    """Two steps in one tick about one link: a call, or its cancelling, and what closes its socket or comes for it.

    What comes may be what the other end of the link sends, or the error that a send brings about.
    """
    phase = phase_of(line)
    steps: tuple[Step, ...] = () if phase is None else program.phases[phase]
    kinds = {step.call for step in steps}
    coming = ("peer", "wait", "send") if is_answered(program) else ("peer", "wait")
    others = [call for call in kinds if call in ENDINGS or call.startswith(coming) or call == "shutdown"]
    is_about_one = len({program.link_of(step.on) for step in steps}) == 1 or "cancel" in kinds
    return len(steps) > 1 and bool(others) and is_about_one


def is_answered(program: Program) -> bool:
    """Whether a send may have something come to the task's own sockets, bytes or an error, or may have to wait."""
    return (
        is_large(program)
        or any(kind in ("both", "datagrams") for kind in program.links)
        or program.has(*BREAKING, "shutdown")
    )


def bytes_in(outcome: str) -> bytes:
    """What a receive brought."""
    found = re.search(r"b'(?:[^'\\]|\\.)*'|b\"[^\"]*\"", outcome)
    return ast.literal_eval(found[0]) if found else b""


def same_call(expected: Trace, line: str) -> Iterator[tuple[str, str, str]]:
    """The name of the call that a line is about, what came of it here, and on stock."""
    ours = RESULT.match(line)
    for other in expected:
        theirs = RESULT.match(other)
        if ours and theirs and ours.groups()[:5] == theirs.groups()[:5]:
            yield ours[2], ours[6], theirs[6]


def is_part(program: Program, expected: Trace, line: str) -> bool:
    """A receive that brought a part of what it brought on stock."""
    parts = ((bytes_in(ours), bytes_in(theirs)) for _, ours, theirs in same_call(expected, line))
    return any(0 < len(part) < len(whole) and whole.startswith(part) for part, whole in parts)


def is_late_error(program: Program, expected: Trace, line: str) -> bool:
    """A send that stock says an error of."""
    return any(
        "send" in call and re.fullmatch(r"\d+|None", ours) is not None and "errno" in theirs
        for call, ours, theirs in same_call(expected, line)
    )


def is_refusal(program: Program, expected: Trace, line: str) -> bool:
    """A call that says, here or on stock, that a datagram was refused."""
    told = [theirs for _, _, theirs in same_call(expected, line)]
    return any(REFUSED in text for text in [line, *told])


def is_after_wait(program: Program, expected: Trace, line: str) -> bool:
    """A line from the phase on in which stock has ended a wait for readability."""
    ended = [phase for other in expected if "wait_readable" in other if (phase := phase_of(other)) is not None]
    phase = phase_of(line)
    return bool(ended) and (phase is None or phase >= min(ended))


def is_large(program: Program) -> bool:
    """Whether a program sends more than a narrow link, or a window, takes."""
    return any(step.size >= LARGE_SIZE for steps in program.phases for step in steps)


def is_full_close(program: Program, expected: Trace, line: str) -> bool:
    """A close in a program that has filled a window."""
    return is_large(program) and re.search(r"\.a?close\(", line) is not None


def has(pattern: str) -> Callable[[Program, Trace, str], bool]:
    """Lines with a pattern."""
    return lambda program, expected, line: re.search(pattern, line) is not None


ALWAYS: tuple[Alike | Cut, ...] = (
    Cut(
        "A receive is done in the tick after the one in which it is posted, also where its bytes are there; and what "
        "comes while a task waits is that task's, whoever tries, or cancels it, in that tick.",
        is_same_tick,
    ),
    Cut(
        "Of two names of a file, the one whose receive is in the kernel takes what comes: who waits for readability of "
        "the other sees nothing, or waits on.",
        is_after_wait,
        calls=("dup",),
    ),
    Cut(
        "A connect that is cancelled closes the socket. Stock leaves tasks that wait on it waiting.",
        has(r"\.connect\(.* -> Cancelled$"),
    ),
    Alike(
        "A send that waits goes on in the kernel, as long as it is not cancelled.",
        r"at last reads (something|nothing)( then.*)?$",
        "at last reads",
        calls=("send_all",),
    ),
)

# Of runs in which receives are detached, and sends go into a window.
OF_DETACH: tuple[Alike | Cut, ...] = (
    Alike(
        "A send into a window is done for its caller when it is posted; its error reaches the next send.",
        rf"(send\w*\(.*\) \[\d+\] -> )(\d+|None|{LATE}|BrokenResourceError from errno \d+)$",
        r"\1ended",
    ),
    Alike(
        "What was in a window when the connection broke was said to be sent.",
        r"heard a part$",
        "heard all that was sent",
        calls=("peer_close", "peer_reset", "peer_shutdown", "shutdown", "send_eof", "close", "aclose"),
    ),
    Alike(
        "What a posted receive took from the system is not there when the socket is closed, and then the system does "
        "not reset the connection.",
        r"( then the end| then errno 104)$",
        " then the end",
        calls=("close", "aclose", "shutdown"),
    ),
    Alike(
        "The same: a peer that goes on sending to a closed socket is told later.",
        r" is told \S+( errno \d+)?$",
        " is told something",
        calls=("close", "aclose", "shutdown"),
    ),
    Alike(
        "A reset is told once, to the call that is first: a posted receive may be.",
        rf"(b''|\(0, b''.*\)|\(b'', None\)|\(b'', \[\], 0, None\)|{RESET}| then {RESET}| then the end)$",
        "over",
        calls=BREAKING,
    ),
    Cut(
        "The same: what a peer does with a connection that stock has reset is done, here, with one that has ended.",
        has(r"^ *\d+ t\d+: (p\d+\.peer_|\w+\.shutdown\()"),
        calls=("close", "aclose"),
    ),
    Cut(
        "What was received ahead comes before an error that came later.",
        is_refusal,
    ),
    Cut("A send whose error comes late is no send; the one that is told is none either.", is_late_error),
    Cut("A receive gives what one posted receive brought, though more has come since.", is_part),
    Cut(
        "The end of a stream is the end; Linux goes on receiving after shutdown(SHUT_RD), when something comes.",
        has(r"\.shutdown\((read|both)\).* -> "),
    ),
    Cut(
        "What is in the window goes out after a close, also where the system would reset the connection.", is_full_close
    ),
    Cut("What one of two names of a socket has received ahead, the other does not get.", has(r"\.dup\(")),
    Cut("What was received ahead goes with notify_closing: the socket is to be closed.", has(r"\.notify_closing\(")),
    Cut(
        "What is received ahead, or being sent, cannot be given away: the call is refused.",
        has(r"-> OSError errno None"),
    ),
)


def may_be_lost(program: Program, mode: Mode) -> bool:
    """Whether what a socket was sent may be heard by nobody, or by its two names in another order.

    What is on its way to a task when notify_closing comes is lost: the socket is to be closed. What came for a receive
    whose socket is closed in that very tick is not there for another name of the file. And what one name has received
    ahead the other does not get.
    """
    return program.has("notify_closing") or (program.has("dup") and (mode.is_detach or program.has(*ENDINGS)))


def is_excused(program: Program, mode: Mode, line: str) -> bool:
    """Whether a line of a free program is one that stock need not have, however often it is played."""
    if "WRONG" in line:
        return may_be_lost(program, mode)
    steps = [step for steps in program.phases for step in steps]
    users = {(program.link_of(step.on), step.task) for step in steps if step.call not in ("cancel", "is_readable")}
    is_shared = len(users) > len({link for link, _ in users})
    is_of_the_system = "errno" in line  # told once, to the call that is first
    is_of_another_task = is_shared and "raises BusyResourceError" in line
    is_closed = "raises ClosedResourceError" in line and program.has("send_eof", "shutdown", "connect", *ENDINGS)
    # A call in a scope that is cancelled already is over a tick earlier on uring: what its task does next, a close, may
    # come before another task's call. To ask a closed socket whether it is readable, or to detach it, is a ValueError.
    is_asked_late = (
        line in ("is_readable raises ValueError", "detach raises ValueError") and is_shared and program.has(*ENDINGS)
    )
    return is_of_the_system or is_of_another_task or is_closed or is_asked_late or mode.is_detach


def explained(program: Program, mode: Mode, expected: Trace, found: Trace) -> bool:
    """Whether all that differs is what the rules say."""
    rules = [*ALWAYS, *(OF_DETACH if mode.is_detach else ())]
    if any("did not end" in line for line in found) and not program.has("notify_closing"):
        return False
    if any("WRONG" in line for line in found) and not may_be_lost(program, mode):
        return False
    places = [
        place
        for place, line in enumerate(found)
        if any(isinstance(rule, Cut) and rule.begins(program, expected, line) for rule in rules)
    ]
    for rule in rules:
        if isinstance(rule, Alike):
            expected, found = rule.normal(program, expected), rule.normal(program, found)
    if expected == found:
        return True
    return bool(places) and before(expected, found, places[0])


def before(expected: Trace, found: Trace, place: int) -> bool:
    """Whether two traces are the same up to the phase of a line; whatever else happened in that phase."""
    phase = phase_of(found[place])
    if phase is None:
        return expected[:place] == found[:place]

    def early(trace: Trace) -> Trace:
        return [line for line in trace if (number := phase_of(line)) is not None and number < phase]

    return early(expected) == early(found)
