"""One stage of three steps, to which bad input is given: what its plan says, what it prints, and what it counts."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.processes import Ended, Server
from tests.support.run_directory import newest_checkpoint, rows_of
from tests.support.tiny_experiment import JUDGE, MODEL

SPEC = f"""rlc = 1
name = "bad"
use = ["//recipes:grpo"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 3

[rollout]
prompts_per_step = 4
samples_per_prompt = 4
max_prompt_tokens = 4
max_response_tokens = 3

[train]
global_batch = 8

[optim]
lr = 1e-2

[checkpoint]
interval = 1

[data]
shuffle = false

[[data.train]]
path = "sums.jsonl"

[reward]
"""

# Each step takes four rows, in their order: the second step has those that begin with 1.
PROMPTS = [f"{a}+{b}=" for a in range(4) for b in range(4)]
SECOND_STEP = 'sample.prompt.text.startswith("1")'


class Run(NamedTuple):
    """How a run ended, the one stage of its plan, and its rows of steps."""

    ended: Ended
    stage: dict[str, Any]
    steps: list[dict[str, Any]]
    folder: Path

    @property
    def said(self) -> str:
        """All that it printed, each run of white space as one space."""
        return " ".join((self.ended.out + self.ended.err).split())

    def total(self, counter: str) -> float:
        """The sum of a counter over all steps."""
        return sum(row.get(counter, 0) for row in self.steps)

    def is_whole(self, *, num_steps: int = 3) -> bool:
        """Whether all steps were taken with finite numbers, and the last one is in a checkpoint."""
        finite = all(math.isfinite(v) for row in self.steps for v in row.values() if isinstance(v, float))
        last = newest_checkpoint(self.folder / "run").name
        return self.ended.code == 0 and len(self.steps) == num_steps and finite and last == f"step_{num_steps:06d}"


def rows(*, second: str | None = None) -> str:
    """Return the data: sixteen sums, or `second` as the second line."""
    lines = [json.dumps({"input": text, "label": str(int(text[0]) + int(text[2]))}) for text in PROMPTS]
    if second is not None:
        lines.insert(1, second)
    return "\n".join(lines) + "\n"


def write(folder: Path, reward: str, *, judge: str = JUDGE, data: str | bytes | None = None) -> Path:
    """Write the experiment, and return where its spec is; `reward` ends the spec, and may go on with other tables."""
    folder.mkdir(parents=True, exist_ok=True)
    given = rows() if data is None else data
    (folder / "sums.jsonl").write_bytes(given.encode() if isinstance(given, str) else given)
    (folder / "judge.py").write_text(judge, encoding="utf-8")
    (folder / "spec.toml").write_text(SPEC + reward, encoding="utf-8")
    return folder / "spec.toml"


def run(server: Server, spec: Path, *overrides: str) -> Run:
    """Run a spec as a user would, in a process of its own."""
    options = [part for override in overrides for part in ("--set", override)]
    ended = server.run("run", spec, "--run-dir", "run", *options, cwd=spec.parent)
    folder = spec.parent
    metrics = folder / "run" / "metrics.jsonl"
    has_rows = metrics.exists() and metrics.stat().st_size > 0
    steps = [row for row in rows_of(folder / "run") if "train/lr" in row] if has_rows else []
    saved = folder / "run" / "plan.json"
    stage = json.loads(saved.read_text(encoding="utf-8"))["experiment"]["stages"][0] if saved.exists() else {}
    return Run(ended, stage, steps, folder)
