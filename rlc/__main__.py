"""`python -m rlc`."""

from __future__ import annotations

from rlc.cli.entry import entry

if __name__ == "__main__":
    entry()
