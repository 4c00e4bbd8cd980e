"""Count datagrams, event-driven: arm, wait for the event, dequeue until it is empty, and arm again."""

from __future__ import annotations

import sys

from counting import add_receives, make_parser, run_server


def main() -> int:
    """Parse the options, and serve."""
    parser = make_parser(__doc__)
    add_receives(parser)
    return run_server(parser.parse_args(), notification="event")


if __name__ == "__main__":
    sys.exit(main())
