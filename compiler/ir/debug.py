"""[debug]: a step taken apart, and what a run says when engine and trainer disagree."""

from __future__ import annotations

from compiler.diagnostics.annotations import Literal
from compiler.ir.kinds import SpecPath
from compiler.ir.openness import OFF, Off
from compiler.ir.record import Record, setting


class LogprobGap(Record):
    """[debug.logprob_gap]: from when on a run says that engine and trainer disagree on what was sampled."""

    mean_bound: float = setting(
        "The mean of |trainer log-prob - engine log-prob| over the tokens of a step above which the step counts.",
        default=0.1,
        unit="nats",
        gt=0,
        in_hash=False,
        on_resume="may_change",
    )
    steps: int = setting(
        "Steps in a row that have to count before anything is said.",
        default=3,
        unit="steps",
        ge=1,
        in_hash=False,
        on_resume="may_change",
    )
    action: Literal["warn", "stop"] = setting(
        "What happens then: a warning, once for each row of such steps, or the run ends.",
        default="warn",
        in_hash=False,
        on_resume="may_change",
    )
    token_bound: float = setting(
        "The difference of a token beyond which it counts in train/logprob_gap_beyond_frac.",
        default=1.0,
        unit="nats",
        gt=0,
    )


class Debug(Record):
    """[debug]: a step taken apart."""

    mode: Literal["full", "rollout_only", "train_only"] = setting(
        "What a step is: a rollout and training on it; the rollout alone, under weights that stay as they are; or "
        "training alone, on rollouts that were recorded.",
        default="full",
    )
    record: bool = setting(
        "Whether each step's rollout is written to rollouts/STAGE/ in the run directory.",
        default=False,
        in_hash=False,
        on_resume="may_change",
        read_if=("mode", ("full", "rollout_only")),
    )
    replay: SpecPath | Off = setting(
        "The folder of a recording, rollouts/STAGE of a run directory, relative to the spec that names it.",
        default=OFF,
        read_if=("mode", ("train_only",)),
    )
    verify_sync: Literal["first", "every"] = setting(
        "After which weight updates the engine's weights are compared with the trainer's, bit by bit.",
        default="first",
        in_hash=False,
        on_resume="may_change",
    )
    logprob_gap: LogprobGap | Off = setting(
        "From when on a run says that engine and trainer disagree; off: never, though the gap is measured all the "
        "same.",
        default=OFF,
        read_if=("mode", ("full", "train_only")),
    )
