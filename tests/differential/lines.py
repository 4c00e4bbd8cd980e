"""What was sent on each stream of a program, and what was heard at its other end."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator

import attrs


def same_at_start(first: bytes, second: bytes) -> int:
    """How many bytes two texts have in common, from the beginning."""
    size = min(len(first), len(second))
    if first[:size] == second[:size]:
        return size
    return next(place for place in range(size) if first[place] != second[place])


@attrs.define(eq=False)
class Line:
    """A direction of a stream. How much a call moves is the system's; that all arrives, once and in order, is ours."""

    sent: list[tuple[bytes, bool]] = attrs.field(factory=list)  # in order; whether all of it must arrive
    heard: bytearray = attrs.field(factory=bytearray)
    senders: int = 0  # tasks that send at the moment
    hearers: int = 0
    is_shared: bool = False  # two tasks sent, or heard, at a time: there is no order

    def verdict(self) -> str:
        """Whether what was heard is what was sent: all, or the beginning of it."""
        if self.is_shared:
            sent = collections.Counter(b"".join(data for data, _ in self.sent))
            return "WRONG: more than was sent" if collections.Counter(self.heard) - sent else "some of what was sent"
        return self._compare(0, bytes(self.heard))

    def _compare(self, place: int, rest: bytes) -> str:
        for number in range(place, len(self.sent)):
            data, is_whole = self.sent[number]
            count = same_at_start(data, rest)
            if not is_whole and count:
                # Nothing of it may have been sent, and the same letters belong to the next.
                without = self._compare(number + 1, rest)
                if not without.startswith("WRONG"):
                    return without
            rest = rest[count:]
            if is_whole and count < len(data):
                return f"WRONG: {rest[:20]!r} instead of {data[count : count + 20]!r}" if rest else "a part"
        return f"WRONG: {rest[:20]!r} more" if rest else "all that was sent"

    @contextlib.contextmanager
    def sends(self, data: bytes) -> Iterator[Callable[[object], object]]:
        """A task sends in this block, and gives what the call returns to the function: how much must be heard."""
        place, results = len(self.sent), list[object]()
        self.is_shared |= self.senders > 0
        self.senders += 1
        self.sent.append((data, False))

        def note(result: object) -> object:
            results.append(result)
            return result

        try:
            yield note
        finally:
            self.senders -= 1
            for result in results:
                self.sent[place] = data[: result if isinstance(result, int) else None], True

    @contextlib.contextmanager
    def hears(self) -> Iterator[None]:
        """A task receives in this block."""
        self.is_shared |= self.hearers > 0
        self.hearers += 1
        try:
            yield
        finally:
            self.hearers -= 1


@attrs.define(eq=False)
class Lines:
    """All of a program: by the name of the end that hears."""

    lines: dict[str, Line] = attrs.field(factory=dict)
    ends: dict[str, str] = attrs.field(factory=dict)  # the other end, by the name of an end
    roots: dict[str, str] = attrs.field(factory=dict)  # what another name of a socket was made of

    def connect(self, first: str, second: str) -> None:
        """These two are the ends of a stream."""
        for here, there in ((first, second), (second, first)):
            self.lines[here], self.ends[here] = Line(), there

    def to(self, name: str) -> Line | None:
        """What comes to an end, whatever its name is now; ``None`` if it is of no stream."""
        return self.lines.get(self.roots.get(name, name))

    def from_(self, name: str) -> Line | None:
        """What goes out from an end."""
        return self.lines.get(self.ends.get(self.roots.get(name, name), ""))

    def verdicts(self) -> list[str]:
        """The verdict on each."""
        return [f"   {name} heard {line.verdict()}" for name, line in self.lines.items()]
