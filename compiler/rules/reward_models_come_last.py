"""Reward models come last.

What: no stage follows one that trains a reward model.
Why it matters: a stage begins with the weights of the one before it, and a reward model has a head of one number in the
place of the one over the vocabulary: there is nothing left that could write a text.
Example: a stage with `use = ["//recipes:reward_model_bt"]`, and one with `use = ["//recipes:grpo"]` after it.
Fix: train the policy in an experiment of its own, whose `reward.reward_model.path` is a checkpoint of this one.
Source: ALGO-08; InstructGPT, arXiv:2203.02155, figure 2: two models, each from the supervised one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.loss import ScoreLoss
from compiler.ir.subject import Subject

CODE = "RLC0356"
ID = "ALGO-08"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report stages that would begin with the weights of a reward model."""
    stages = list(subject.stages())
    scorers = sum(isinstance(stage.stage.algorithm.loss, ScoreLoss) for stage in stages)
    for stage, follower in pairwise(stages):
        if isinstance(stage.stage.algorithm.loss, ScoreLoss):
            yield Diagnostic(
                CODE,
                f"stage {follower.stage.name} would begin with the reward model of stage {stage.stage.name}",
                (
                    *stage.labels(("algo.name", "its head over the vocabulary is gone")),
                    *(label._replace(is_primary=False) for label in follower.labels(("name", "begins with that"))),
                ),
                _ways(stage.stage.name, scorers),
                rule=ID,
                paths=(stage.path("algo.name"),),
            )


def _ways(name: str, scorers: int) -> tuple[Help, ...]:
    """Of several reward models only one can be the last: an order of stages is no way out for the others."""
    apart = "train it in an experiment of its own, and name its checkpoint as reward.reward_model.path"
    return (Help(apart),) if scorers > 1 else (Help(f"move {name} to the end"), Help(f"or {apart}"))
