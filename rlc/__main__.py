"""`python -m rlc`."""

from __future__ import annotations

import sys

from rlc.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
