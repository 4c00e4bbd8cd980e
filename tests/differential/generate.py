"""A program from a seed and a number."""

from __future__ import annotations

import random
from collections.abc import Sequence

import attrs

from .calls import PLAIN
from .program import LARGE_SIZE, Program, Step

# How often each thing is chosen, against the others of its list.
Weights = dict[str, float]

RECEIVING: Weights = {
    "recv": 14, "recv_into": 6, "recvmsg": 5, "recvmsg_into": 2, "recvfrom": 2, "recvfrom_into": 1, "peek": 5,
    "wait_readable": 6, "is_readable": 2,
}  # fmt: skip
SENDING: Weights = {"send": 14, "sendmsg": 3, "wait_writable": 4}
ENDING: Weights = {"close": 3, "shutdown": 4, "dup": 2, "detach": 2, "notify_closing": 2}
PEER: Weights = {"peer_send": 16, "peer_reads": 5, "peer_close": 2, "peer_shutdown": 3, "peer_reset": 2}

OF_A_SOCKET: Weights = {**RECEIVING, **SENDING, **ENDING}
OF_A_STREAM: Weights = {
    "send_all": 14, "receive_some": 20, "wait_send_all_might_not_block": 3, "send_eof": 3, "aclose": 3,
    "wait_readable": 3, "notify_closing": 1,
}  # fmt: skip
OF_DATAGRAMS: Weights = {**RECEIVING, "recvfrom": 8, "recvfrom_into": 3, **SENDING, "sendto": 5, **ENDING}
OF_A_LISTENER: Weights = {"accept": 12, "wait_readable": 4, "close": 2, "notify_closing": 2, "dup": 0.5}
PEER_OF_DATAGRAMS: Weights = {"peer_send": 16, "peer_reads": 5, "peer_close": 2}

LINKS: Weights = {
    "tcp": 10, "narrow tcp": 2, "stream": 2, "narrow stream": 1, "own stream": 4, "narrow own stream": 1,
    "unix": 2, "datagrams": 4, "unconnected datagrams": 2, "both": 3, "listener": 2, "unconnected": 2,
}  # fmt: skip

# How many of the programs have tasks that do not wait for each other.
FREE_SHARE = 0.15

SENT_SIZES = (0, 1, 2, 3, 3, 5, 8, 20, 100, 300)
RECEIVED_SIZES = (0, 1, 1, 2, 3, 5, 5, 10, 50, 1000, 1000, 4096)


@attrs.define(eq=False)
class Generator:
    """Makes the steps of one program, and knows which names there may be."""

    random: random.Random
    tasks: int
    links: tuple[str, ...]
    kinds: dict[str, str] = attrs.field(factory=dict)  # of the names, in the order in which they came
    made: int = 0
    last_task: int = 0

    def pick(self, weights: Weights) -> str:
        """One of the keys."""
        return self.random.choices([*weights], [*weights.values()])[0]

    def name_all(self) -> None:
        """Begin with the names that the links make."""
        for number, link in enumerate(self.links):
            if link in ("listener", "unconnected"):
                self.kinds[f"l{number}"] = "listener" if link == "listener" else "plain listener"
            else:
                self.kinds[f"p{number}"] = "peer of datagrams" if "datagrams" in link else "peer"
            if link == "both":
                del self.kinds[f"p{number}"]
                self.kinds[f"b{number}"] = "tcp"
            if link != "listener":
                self.kinds[f"s{number}"] = link
        self.made = len(self.links)

    def new_name(self, letter: str, kind: str) -> str:
        """A name for what a step makes; later steps may use it."""
        name = f"{letter}{self.made}"
        self.made += 1
        self.kinds[name] = kind
        return name

    def weights_of(self, kind: str) -> Weights:
        """What may be done with a thing of this kind."""
        if "peer" in kind:
            return PEER_OF_DATAGRAMS if "datagrams" in kind else PEER
        if kind == "listener":
            return OF_A_LISTENER
        if "datagrams" in kind:
            return OF_DATAGRAMS if "unconnected" in kind else {**OF_DATAGRAMS, "sendto": 0}
        return OF_A_STREAM if "stream" in kind else OF_A_SOCKET

    def task(self, taken: Sequence[int]) -> int:
        """A task for the next step: another one than the last, mostly, since that may still be waiting."""
        free = [number for number in range(self.tasks) if number not in taken]
        others = [number for number in free if number != self.last_task]
        self.last_task = self.random.choice(others if others and self.random.random() < 0.8 else free)
        return self.last_task

    def phase(self) -> tuple[Step, ...]:
        """One step, seldom two of two tasks."""
        first = self.step([])
        if self.random.random() > 0.12:
            return (first,)
        taken = [first.task]
        if first.call == "cancel":
            # What is cancelled in the tick in which it begins may end in either way, and the way is ours.
            taken.append(int(first.on[1:]))
        if len(taken) == self.tasks:
            return (first,)
        return (first, self.step(taken))

    def step(self, taken: Sequence[int]) -> Step:
        """One more step."""
        last, task = self.last_task, self.task(taken)
        if self.random.random() < 0.1 and last != task and last not in taken:
            return Step(task, "cancel", f"t{last}")
        # What was made last is more interesting than what has been there all the time.
        names = [*self.kinds]
        name = names[-1] if self.random.random() < 0.15 else self.random.choice(names)
        kind = self.kinds[name]
        if kind == "plain listener":
            return Step(task, "peer_accept", name, makes=self.new_name("p", "peer"))
        if kind == "listener" and self.random.random() < 0.5:
            return Step(task, "peer_connect", name, makes=self.new_name("p", "peer"))
        if kind == "unconnected" and self.random.random() < 0.4:
            return Step(task, "connect", name, word=f"l{name[1:]}", is_cancelled=self.random.random() < 0.1)
        return self.step_of(task, self.pick(self.weights_of(kind)), name, kind)

    def step_of(self, task: int, call: str, name: str, kind: str) -> Step:
        """A step of a call, with arguments."""
        choose = self.random.choice
        step = Step(task, call, name)
        if call not in PLAIN:
            step = attrs.evolve(step, is_cancelled=self.random.random() < 0.06)
        if call == "shutdown" and "datagrams" in kind:
            # With the other side shut, a receive has nothing and is told to try again at once: stock Trio never rests.
            return attrs.evolve(step, word="write")
        if call in ("shutdown", "peer_shutdown"):
            return attrs.evolve(step, word=choose(("read", "write", "write", "both")))
        if call in ("dup", "detach"):
            return attrs.evolve(step, makes=self.new_name(name[0], kind.removeprefix("narrow ")))
        if call == "accept":
            return attrs.evolve(step, makes=self.new_name("s", "tcp"))
        if call in ("send", "sendmsg", "sendto", "send_all", "peer_send"):
            size = choose(SENT_SIZES)
            if "narrow" in kind and call in ("send", "send_all") and self.random.random() < 0.6:
                # How much one send takes is the system's; that all of it is too much, is ours.
                return attrs.evolve(step, call="send_all", size=LARGE_SIZE, mark=self.random.randrange(26))
            word = f"p{name[1:]}" if call == "sendto" and f"p{name[1:]}" in self.kinds else ""
            if call == "sendto" and not word:
                return attrs.evolve(step, call="send", size=size, mark=self.random.randrange(26))
            return attrs.evolve(step, size=size, mark=self.random.randrange(26), word=word)
        if call in RECEIVING and call not in ("wait_readable", "is_readable"):
            return attrs.evolve(step, size=choose(RECEIVED_SIZES))
        if call == "receive_some":
            return attrs.evolve(step, size=choose((0, 1, 2, 5, 1000)))
        return step


def generate(seed: int, number: int) -> Program:
    """The program of this number, in the sequence of this seed."""
    rng = random.Random(f"{seed}:{number}")
    kinds = rng.choices([*LINKS], [*LINKS.values()], k=rng.choice((1, 1, 1, 2, 2, 3)))
    generator = Generator(rng, rng.randint(2, 5), tuple(kinds))
    generator.name_all()
    phases = tuple(generator.phase() for _ in range(rng.randint(4, 14)))
    return Program(tuple(kinds), phases, is_free=rng.random() < FREE_SHARE)
