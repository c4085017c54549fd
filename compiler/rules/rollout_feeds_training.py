"""What a rollout yields is what training consumes.

What: prompts_per_step x samples_per_prompt = global_batch x steps_per_rollout, in whole numbers.
Why it matters: with another product, samples are dropped, trained on twice, or a job dies at the first step; some
frameworks round silently.
Example: 512 prompts x 12 samples against 1,024 x 4 samples: the message offers steps_per_rollout = 6.
Fix: leave one of the four out and it is derived; or take one of the solved values.
Source: BATCH-01; slime's rollout identity, slime#371, verl#3288.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.equations import BATCH_IDENTITY
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._solved_fixes import counted, solved_fixes

CODE = "RLC0301"
ID = "BATCH-01"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report an identity that does not hold, or that no whole number fulfils."""
    for stage in subject.stages():
        values = BATCH_IDENTITY.factors(stage.stage)
        unknowns = BATCH_IDENTITY.unknowns(values)
        if "rollout.prompts_per_step" not in values or len(unknowns) > 1:
            continue
        if len(unknowns) == 1:
            solution = BATCH_IDENTITY.solve(unknowns[0], values)
            if solution.whole is None and not solution.is_below_one:
                about = stage.shown(unknowns[0])
                message = f"no whole number of {about} makes the batch identity hold: it would be {solution}"
                yield _diagnostic(stage, values, message)
            continue
        sampled, trained = BATCH_IDENTITY.sides(values)
        if sampled != trained:
            more = "more" if sampled > trained else "fewer"
            yield _diagnostic(stage, values, f"the rollout yields {more} samples than training consumes")


def _diagnostic(stage: StageSubject, values: dict[str, int | None], message: str) -> Diagnostic:
    prompts, group = values["rollout.prompts_per_step"], values["rollout.samples_per_prompt"]
    batch, steps = values["train.global_batch"], values.get("train.steps_per_rollout")
    said: list[tuple[str, str]] = []
    if steps is not None:
        consumed = f": {batch * steps:,} samples" if batch is not None else ""
        said.append(("train.steps_per_rollout", f"{counted(steps, 'optimizer steps')}{consumed}"))
    if batch is not None:
        said.append(("train.global_batch", f"{counted(batch, 'samples')} a step"))
    if prompts is not None:
        said.append(("rollout.prompts_per_step", f"{counted(prompts, 'prompts')} a step"))
    if group is not None:
        product = f": {prompts:,} x {group:,} = {prompts * group:,} samples" if prompts is not None else ""
        said.append(("rollout.samples_per_prompt", f"{counted(group, 'completions')} for each{product}"))
    if stage.labels(*said) == () and prompts and group and batch and steps:
        message += f": {prompts:,} x {group:,} against {batch:,} x {steps:,}"
    return Diagnostic(
        CODE,
        message,
        stage.labels(*said),
        solved_fixes(stage, BATCH_IDENTITY, values),
        rule=ID,
        paths=tuple(stage.path(f) for f in values),
    )
