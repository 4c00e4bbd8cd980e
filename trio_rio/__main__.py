"""``python -m trio_rio``: see :mod:`trio_rio._cli.main`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from ._cli.main import main
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main())
