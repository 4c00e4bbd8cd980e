"""Count datagrams, polled: no notification is ever asked for, and the run never sleeps while a receive is posted.

The lowest cost for a datagram that comes, and one CPU that is always busy.
"""

from __future__ import annotations

import sys

from counting import add_receives, make_parser, run_server


def main() -> int:
    """Parse the options, and serve."""
    parser = make_parser(__doc__)
    add_receives(parser)
    return run_server(parser.parse_args(), notification="polled")


if __name__ == "__main__":
    sys.exit(main())
