"""The data of the quickstart: every sum of two numbers from 10 to 99, split once and for all.

    python experiments/quickstart/make_data.py

writes train.jsonl and heldout.jsonl beside this file.  No held-out sum is in the training data.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

HELDOUT = 1620
SEED = 2026


def rows() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return the training rows and the held-out rows."""
    sums = [(a, b) for a in range(10, 100) for b in range(10, 100)]
    random.Random(SEED).shuffle(sums)
    made = [{"input": f"{a}+{b}=", "label": str(a + b)} for a, b in sums]
    return made[HELDOUT:], made[:HELDOUT]


def main() -> None:
    """Write both files."""
    here = Path(__file__).parent
    for name, part in zip(("train", "heldout"), rows(), strict=True):
        text = "".join(json.dumps(row) + "\n" for row in part)
        (here / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
