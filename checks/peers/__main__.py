"""The command `python -m checks.peers [--draws N] [PEER...]`: random inputs through their functions and through ours.

Runs in an environment that has the peers (constraints/peers.txt), with the repository on its path.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version

from checks.peers.ledger import Ledger

# What holds figures against each other, for each peer: modules with `compare(ledger, seed)`.
PEERS = {
    "verl": ("verl_advantages", "verl_losses", "verl_corrections", "verl_partitions", "verl_rewards"),
    "trl": ("trl_advantages", "trl_losses", "trl_preferences", "trl_rewards"),
}


def main() -> int:
    """Print what agrees and what does not; return 1 if something does not."""
    parser = argparse.ArgumentParser(prog="peers", description=__doc__)
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="random inputs for each comparison (20)")
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(PEERS)}; all unless named")
    arguments = parser.parse_args()
    ledger = Ledger()
    for peer in arguments.peers or PEERS:
        print(f"{peer} {version(peer)}")
        for module in PEERS[peer]:
            compare: Callable[[Ledger, int], None] = import_module(f"checks.peers.{module}").compare
            for seed in range(arguments.draws):
                compare(ledger, seed)
    print("\n".join(ledger.table()))
    far = [name for name, entry in ledger.entries.items() if not entry.agrees]
    print(f"{len(ledger.entries) - len(far)} of {len(ledger.entries)} comparisons agree")
    return int(bool(far))


if __name__ == "__main__":
    sys.exit(main())
