"""What a program is: links to peers, and phases of steps that tasks make on them."""

from __future__ import annotations

import attrs

ALPHABET = bytes(range(97, 123))

# No narrow link takes so much. The period of it is none that a lost buffer could have.
LARGE_SIZE = 300_000
MANY_LETTERS = bytes(range(251))


@attrs.frozen
class Step:
    """One call of one task."""

    task: int
    call: str  # a name in CALLS
    on: str  # the socket, the peer or the task that it is about
    size: int = 0  # of what is sent, or of what may be received
    mark: int = 0  # what is sent begins with this letter of the alphabet
    word: str = ""  # any other argument
    makes: str = ""  # the name of what comes out of it
    is_cancelled: bool = False  # the call is made in a scope that is cancelled already

    @property
    def data(self) -> bytes:
        """What a send sends."""
        letters = ALPHABET if self.size < LARGE_SIZE else MANY_LETTERS
        return (letters * (self.size // len(letters) + 2))[self.mark % 26 :][: self.size]

    def __str__(self) -> str:
        argument = self.word
        if "send" in self.call and self.call != "send_eof":
            argument = repr(self.data) if self.size <= 26 else f"{self.size} bytes"
        elif self.size or self.call.startswith(("recv", "peek")):
            argument = f"{self.word} {self.size}".strip()
        text = f"t{self.task}: {self.on}.{self.call}({argument})"
        if self.makes:
            text += f" as {self.makes}"
        return f"{text}, cancelled" if self.is_cancelled else text


@attrs.frozen
class Program:
    """See the module's docstring. Its text is for people, its ``repr`` for Python."""

    links: tuple[str, ...]
    phases: tuple[tuple[Step, ...], ...]
    is_free: bool = False  # each task makes its steps without waiting for the others

    def __str__(self) -> str:
        lines = [f"  link {number}: {kind}" for number, kind in enumerate(self.links)]
        lines += ["  each task by itself:"] if self.is_free else []
        lines += [f"  {number:2}  " + "  |  ".join(map(str, steps)) for number, steps in enumerate(self.phases)]
        return "\n".join(lines)

    @property
    def tasks(self) -> int:
        """How many tasks it needs."""
        steps = [step for steps in self.phases for step in steps]
        return 1 + max([0, *(step.task for step in steps), *(int(s.on[1:]) for s in steps if s.call == "cancel")])

    def link_of(self, name: str) -> str:
        """The number of the link that a name belongs to; of what was made of another name, the link of that."""
        made_of = {step.makes: step.on for steps in self.phases for step in steps if step.makes}
        while name in made_of:
            name = made_of[name]
        return name[1:]

    def has(self, *calls: str) -> bool:
        """Whether any step is one of these calls."""
        return any(step.call in calls for steps in self.phases for step in steps)
