"""Counts what a stage may cost at most, before it starts: rollouts, optimizer steps, samples, tokens."""

from __future__ import annotations

from math import ceil

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Budget, Experiment, Stage
from compiler.ir.openness import Auto, Off
from compiler.ir.provenance import Provenance
from compiler.ir.rollout import Rollout
from compiler.passes._each_stage import StageEditor, each_stage


def count_budget(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Multiply what is known; a stage with an open batch has no budget yet."""
    return each_stage(experiment, origins, _count, by="count_budget")


def _count(editor: StageEditor) -> None:
    stage = editor.stage
    steps, updates, batch = stage.run.max_steps, stage.optim.total_steps, stage.train.global_batch
    if not (isinstance(steps, int) and isinstance(updates, int) and isinstance(batch, int)):
        return
    rollouts = tokens = 0
    samples = updates * batch
    inputs: dict[str, tuple[str, ...]] = {
        "optimizer_steps": ("optim.total_steps",),
        "samples": ("optim.total_steps", "train.global_batch"),
    }
    if isinstance(stage.rollout, Rollout):
        prompts, group = stage.rollout.prompts_per_step, stage.rollout.samples_per_prompt
        if not (isinstance(prompts, int) and isinstance(group, int)):
            return
        rollouts = steps
        drawn, drawn_by = _prompts_at_most(stage.rollout, prompts)
        turns, turns_by = _turns_at_most(stage)
        tokens = steps * drawn * group * turns * stage.rollout.max_response_tokens
        of_sample = ("rollout.samples_per_prompt", *turns_by, "rollout.max_response_tokens")
        sampled = ("rollout.prompts_per_step", *drawn_by, *of_sample)
        inputs |= {"rollouts": ("run.max_steps",), "max_sampled_tokens": ("run.max_steps", *sampled)}
    budget = Budget(rollouts=rollouts, optimizer_steps=updates, samples=samples, max_sampled_tokens=tokens)
    editor.derive("budget", budget)
    for field in Budget.fields():
        # A stage that does not sample has no rollouts because of its algorithm.
        editor.derive(f"budget.{field}", budget.__dict__[field], inputs=inputs.get(field, ("algo.name",)))


def _turns_at_most(stage: Stage[Auto]) -> tuple[int, tuple[str, ...]]:
    """Turns of one sample, and the field that says it."""
    environment = stage.environment
    return (1, ()) if isinstance(environment, Off) else (environment.max_turns, ("environment.max_turns",))


def _prompts_at_most(rollout: Rollout[Auto], prompts: int) -> tuple[int, tuple[str, ...]]:
    """Prompts that one rollout draws if every group is left out, and the fields that say it.

    Groups that wait in a buffer make it fewer.
    """
    groups, buffer = rollout.filter, rollout.buffer
    if not isinstance(buffer, Off) and buffer.partial:
        at_once, fields = buffer.prompts_under_way(prompts), ("rollout.buffer.oversample",)
    elif isinstance(groups, Off):
        return prompts, ()
    else:
        at_once, fields = ceil(prompts * groups.oversample), ("rollout.filter.oversample",)
    if isinstance(groups, Off):
        return at_once, fields
    return at_once * (1 + groups.max_refills), (*fields, "rollout.filter.max_refills")
