"""Any lines as --set, of a spec with one stage and of one with several."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from compiler.diagnostics.reporter import Reporter
from compiler.frontend.overrides import parse_overrides
from tests.fuzz import seeds
from tests.fuzz.limits import CPU_S
from tests.fuzz.oracle import can_be_shown, sound
from tests.fuzz.target import Target
from tests.fuzz.workplace import catalogue

_MOST_LINES = 8
_SEEDS = """
optim.lr=1e-5
cluster.target=cuda
stages.sft.run.max_steps=3
stages[1].optim.warmup_steps = 2
data.train[0].path="x.jsonl"
rollout.sampling={temperature=0.5, top_p=1.0}
eval.sets=[{name="a", path="b"}]
loss.kl=off
train."global_batch"=64
stages.'grpo'.loss.kl={estimator="k3",coef=0.1}
rollout.max_response_tokens=8Ki
optim.warmup_steps=${optim.total_steps // 4}
require=[{that="optim.lr < 1", why="small"}]
allow=[{rule="RLC0617", why="on purpose"}]
rollout.engine.sglang.mem_fraction_static=0.5
"""


def check(data: bytes) -> None:
    """Compile with the lines as overrides, as a shell would hand them over."""
    lines = [line.decode("utf-8", "surrogateescape") for line in data.replace(b"\0", b"").split(b"\n")]
    lines = [line for line in lines if line][:_MOST_LINES]
    reporter = Reporter()
    parse_overrides(lines, reporter)
    can_be_shown(reporter.diagnostics)
    for name in ("one_stage.toml", "stages.toml"):
        sound(Path(name), catalogue(), lines)


def _seeds() -> Iterator[bytes]:
    lines = _SEEDS.strip().splitlines(keepends=True)
    yield from (line.encode() for line in lines)
    yield from ("".join(lines[at : at + 3]).encode() for at in range(len(lines) - 2))


TARGET = Target(check, _seeds, seeds.words_of_specs, 2 * CPU_S)
