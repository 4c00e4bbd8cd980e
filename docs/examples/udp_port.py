"""Count datagrams, port-driven: the completion port brings a packet with everything else that the run waits for."""

from __future__ import annotations

import sys

from counting import add_receives, make_parser, run_server, within


def main() -> int:
    """Parse the options, and serve."""
    parser = make_parser(__doc__)
    add_receives(parser)
    parser.add_argument(
        "--results", type=within(1, 65536), default=1024, help="taken in one dequeue at most (default: %(default)s)"
    )
    options = parser.parse_args()
    return run_server(options, notification="port", results_per_turn=options.results)


if __name__ == "__main__":
    sys.exit(main())
