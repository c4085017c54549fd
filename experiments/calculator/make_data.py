"""The data of the calculator experiment: sums, and for imitation conversations in which a tool is asked.

    python experiments/calculator/make_data.py

writes demonstrations.jsonl, train.jsonl and heldout.jsonl beside this file.  No held-out sum is in the others.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from stdlib.tools.calculator import open_tool

HELDOUT = 200
SEED = 2026


def conversation(a: int, b: int) -> list[dict[str, str]]:
    """Return a sum that is asked of the calculator."""
    call = json.dumps({"name": "calculator", "arguments": {"expression": f"{a}+{b}"}})
    return [
        {"role": "user", "content": f"{a}+{b}"},
        {"role": "assistant", "content": f"<tool_call>{call}</tool_call>"},
        {"role": "tool", "content": str(a + b)},
        {"role": "assistant", "content": str(a + b)},
    ]


def main() -> None:
    """Write the files."""
    here = Path(__file__).parent
    sums = [(a, b) for a in range(10, 100) for b in range(10, 100)]
    random.Random(SEED).shuffle(sums)
    rest, heldout = sums[HELDOUT:], sums[:HELDOUT]
    tools = [open_tool(None, root=here).schema]
    files: dict[str, list[dict[str, object]]] = {
        "demonstrations": [{"messages": conversation(a, b), "tools": tools} for a, b in rest[:600]],
        "train": [{"input": f"{a}+{b}", "label": str(a + b)} for a, b in rest[600:1400]],
        "heldout": [{"input": f"{a}+{b}", "label": str(a + b)} for a, b in heldout],
    }
    for name, rows in files.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (here / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
