"""The benchmark measures Linux: it pins processes to CPUs and counts their system calls."""

from __future__ import annotations

import sys

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]
