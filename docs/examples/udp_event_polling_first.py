"""Count datagrams, event-driven with polling first: look for a while, and only then arm the event and wait for it.

Under load no notification is ever needed; without load the CPU sleeps.
"""

from __future__ import annotations

import sys

from counting import add_receives, make_parser, microseconds, run_server


def main() -> int:
    """Parse the options, and serve."""
    parser = make_parser(__doc__)
    add_receives(parser)
    parser.add_argument(
        "--poll", type=microseconds, default=50e-6, metavar="MICROSECONDS", help="to look before it arms (default: 50)"
    )
    options = parser.parse_args()
    return run_server(options, notification="event", busy_poll_seconds=options.poll)


if __name__ == "__main__":
    sys.exit(main())
