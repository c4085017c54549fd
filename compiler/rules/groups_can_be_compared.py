"""Groups are large enough to be compared.

What: an algorithm that judges a response against the others of its group needs at least two of them.
Why it matters: with one sample the group's mean is the sample: every advantage is zero, or a division by a zero
deviation, and nothing is learnt.
Example: GRPO with `samples_per_prompt = 1`.
Fix: `rollout.samples_per_prompt = 8`, with fewer prompts if the batch is to stay; or `algo.group_of_one = "reward"`,
plain policy gradients without a baseline.
Source: BATCH-05; TRL PR#3199, framework differences no. 3.  Groups may be cut by optimizer steps: advantages are
computed over the whole rollout before it is cut.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.ir.algorithm import Algo, GroupRelativeAlgo, PolicyAlgo, ReturnsAlgo, TeacherAlgo
from compiler.ir.equations import BATCH_IDENTITY
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._solved_fixes import said_values

CODE = "RLC0304"
ID = "BATCH-05"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report groups of one."""
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if not _compares(stage.stage.algorithm.algo) or not isinstance(rollout, Rollout):
            continue
        if rollout.samples_per_prompt == 1 and not _keeps_its_reward(stage.stage.algorithm.algo):
            name = stage.stage.algorithm.algo.name
            yield Diagnostic(
                CODE,
                f"{name} compares the responses to one prompt, and there is only one",
                _labels(stage, name),
                _fixes(stage),
                rule=ID,
                paths=(stage.path("rollout.samples_per_prompt"),),
            )


def _compares(algo: Algo) -> bool:
    if isinstance(algo, TeacherAlgo):
        return algo.rewards == "group"
    return isinstance(algo, GroupRelativeAlgo) or (isinstance(algo, ReturnsAlgo) and algo.group_baseline)


def _keeps_its_reward(algo: Algo) -> bool:
    if isinstance(algo, PolicyAlgo) and not isinstance(algo.advantages, Off):
        return True  # a function of one's own says what a sample alone is worth
    return isinstance(algo, GroupRelativeAlgo | ReturnsAlgo) and algo.group_of_one == "reward"


def _labels(stage: StageSubject, name: str) -> tuple[Label, ...]:
    said = [("algo.name", f"{name} needs a group")]
    if not stage.written("rollout.samples_per_prompt"):
        values = BATCH_IDENTITY.factors(stage.stage)
        said += [(f, s) for f, s in said_values(stage, values) if f != "rollout.samples_per_prompt"]
    return stage.labels(*said, ("rollout.samples_per_prompt", "a group of one"))


def _fixes(stage: StageSubject) -> tuple[Help, ...]:
    """Fewer prompts with larger groups keep the batch; where they cannot, the batch or its steps grow."""
    prompts_field, group_field = BATCH_IDENTITY.left
    values = BATCH_IDENTITY.factors(stage.stage)
    prompts, batch, steps = values[prompts_field], values["train.global_batch"], values["train.steps_per_rollout"]
    if prompts is None or batch is None or steps is None:
        return (stage.fix(group_field, 8),)
    for group in (8, 4, 2):
        if prompts % group == 0:
            samples, fewer = stage.fix(group_field, group), stage.fix(prompts_field, prompts // group)
            text = f"{samples.text} and {stage.shown(prompts_field)} = {prompts // group}: the same batch"
            return (Help(text, samples.sets + fewer.sets),)
    samples, larger = stage.fix(group_field, 8), stage.fix("train.global_batch", batch * 8)
    text = f"{samples.text} and {stage.shown('train.global_batch')} = {batch * 8}"
    return (Help(text, samples.sets + larger.sets),)
