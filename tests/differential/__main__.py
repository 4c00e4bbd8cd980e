"""``python -m tests.differential``: play many programs. See CONTRIBUTING.md."""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import sys
import time
from collections.abc import Iterator, Sequence

from .compare import BATCH, Difference, batch, differences, shrunk
from .modes import Mode, modes


def play_batch(seed: int, first: int, count: int, chosen: Sequence[Mode]) -> list[Difference]:
    """Some of the programs of a seed that differ."""
    return list(differences(*batch(seed, first, count), chosen))


def arguments_of(words: Sequence[str]) -> argparse.Namespace:
    """The options of a command line."""
    parser = argparse.ArgumentParser("python -m tests.differential", description=__doc__)
    parser.add_argument("--programs", type=int, default=2000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another sequence of programs")
    parser.add_argument("--first", type=int, default=0, help="the number of the first program in the sequence")
    parser.add_argument("--modes", nargs="+", metavar="MODE", help=f"of {' '.join(map(str, modes()))} (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing more after that long")
    parser.add_argument("--shrink", type=int, default=3, help="how many differences to make smaller (default: 3)")
    options = parser.parse_args(words)
    known = {str(mode): mode for mode in modes()}
    if unknown := set(options.modes or ()) - set(known):
        parser.error(f"no such mode: {' '.join(sorted(unknown))}")
    options.modes = [known[name] for name in options.modes or known]
    return options


def batches(options: argparse.Namespace) -> Iterator[tuple[int, list[Difference]]]:
    """The differences of each batch, as they are done, and how many programs it had."""
    starts = list(range(options.first, options.first + options.programs, BATCH))
    end = time.monotonic() + options.seconds
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        futures: dict[concurrent.futures.Future[list[Difference]], int] = {}
        while starts or futures:
            while starts and len(futures) < options.jobs * 2 and time.monotonic() < end:
                start = starts.pop(0)
                count = min(BATCH, options.first + options.programs - start)
                futures[pool.submit(play_batch, options.seed, start, count, options.modes)] = count
            if not futures:
                return
            for future in concurrent.futures.wait(futures, return_when="FIRST_COMPLETED").done:
                yield futures.pop(future), future.result()


def main(words: Sequence[str]) -> int:
    """Play programs; returns 1 if any differs."""
    options = arguments_of(words)
    start = time.monotonic()
    done, found, reported = 0, 0, 0
    kinds: collections.Counter[str] = collections.Counter()
    for count, differing in batches(options):
        done += count
        found += len(differing)
        for difference in differing:
            kinds[str(difference.mode)] += 1
            if reported < options.shrink:
                reported += 1
                difference = shrunk(difference)
            print(difference, flush=True)
        if done % 1000 < BATCH:
            print(f"{done} programs, {found} differences, {time.monotonic() - start:.0f} s", flush=True)
    print(f"{done} programs on stock Trio and in {len(options.modes)} modes: {found} differences")
    for name, number in kinds.most_common():
        print(f"  {name}: {number}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
