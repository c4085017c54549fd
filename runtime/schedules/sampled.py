"""What sampling hands to training, and what is said when it has nothing to hand over."""

from __future__ import annotations

from dataclasses import dataclass

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from runtime.rewards.runner import nothing_left as all_unjudged
from runtime.stage_job import StageJob
from stdlib.samples import Group


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledRollout:
    """What one step trains on; `baselines` are the greedy responses to the same prompts, where an algorithm asks."""

    groups: list[Group]
    baselines: list[Group] | None
    metrics: dict[str, float]


def shortage(num_kept: int, wanted: int, num_drawn: int) -> Diagnostic:
    """Return RLC0690 for a step that misses groups and may not go on without them."""
    return Diagnostic(
        "RLC0690",
        f"{num_kept:,} of {wanted:,} groups passed the filter after {num_drawn:,} prompts",
        help=(
            Help("raise rollout.filter.max_refills, or take prompts that the policy answers now and then"),
            Help('or set rollout.filter.on_shortage = "keep_filtered"'),
        ),
        paths=("rollout.filter.max_refills", "rollout.filter.on_shortage"),
    )


def nothing_left(job: StageJob, num_drawn: int) -> Diagnostic:
    """Return RLC0681 or RLC0690 for a step without any group."""
    reward, rollout = job.actors.reward, job.stage.rollout
    if reward is not None and isinstance(rollout, Rollout) and isinstance(rollout.filter, Off):
        return all_unjudged(num_drawn, reward.last_failure)
    return Diagnostic(
        "RLC0690",
        f"step {job.progress.step + 1} of stage {job.stage.name} has no group to train on: all of {num_drawn:,} "
        "prompts were left out",
        help=(Help("look at the rewards of this step"),),
        paths=("rollout.filter.on_shortage", "reward.on_failure"),
    )
