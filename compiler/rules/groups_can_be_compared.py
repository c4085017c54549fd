"""Groups are large enough to be compared.

What: an algorithm that judges a response against the others of its group needs at least two of them.
Why it matters: with one sample the group's mean is the sample: every advantage is zero, or a division by a zero
deviation, and nothing is learnt.
Example: GRPO with `samples_per_prompt = 1`.
Fix: `rollout.samples_per_prompt = 8`, with fewer prompts if the batch is to stay.
Source: BATCH-05; TRL PR#3199, framework differences no. 3.  Groups may be cut by optimizer steps: advantages are
computed over the whole rollout before it is cut.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.algorithm import GroupRelativeAlgo
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0304"
ID = "BATCH-05"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report groups of one."""
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if not isinstance(stage.stage.algorithm.algo, GroupRelativeAlgo) or not isinstance(rollout, Rollout):
            continue
        if rollout.samples_per_prompt == 1:
            name = stage.stage.algorithm.algo.name
            yield Diagnostic(
                CODE,
                f"{name} compares the responses to one prompt, and there is only one",
                stage.labels(("algo.name", f"{name} needs a group"), ("rollout.samples_per_prompt", "a group of one")),
                _fixes(stage, rollout.prompts_per_step),
                rule=ID,
                paths=(stage.path("rollout.samples_per_prompt"),),
            )


def _fixes(stage: StageSubject, prompts: object) -> tuple[Help, ...]:
    for group in (8, 4, 2):
        if isinstance(prompts, int) and prompts % group == 0 and prompts > group:
            samples = stage.fix("rollout.samples_per_prompt", group)
            fewer = stage.fix("rollout.prompts_per_step", prompts // group)
            text = f"{samples.text} and {stage.shown('rollout.prompts_per_step')} = {prompts // group}: the same batch"
            return (Help(text, samples.sets + fewer.sets),)
    return (stage.fix("rollout.samples_per_prompt", 8),)
