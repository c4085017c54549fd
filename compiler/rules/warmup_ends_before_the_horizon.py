"""The learning rate has time to warm up.

What: the horizon of the schedule is the stage's number of optimizer steps, and the warm-up ends before it.
Why it matters: a warm-up as long as the run never reaches the learning rate that was written, or crashes a scheduler;
a horizon counted in other units decays too fast or not at all.
Example: 80 rollouts x 4 optimizer steps = 320 updates, with `optim.warmup_steps = 400`.
Fix: shorten the warm-up; leave optim.total_steps out, it is derived.
Source: BATCH-09; prime-rl#968, open-instruct#537, ms-swift#9261.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.equations import OPTIMIZER_HORIZON
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._solved_fixes import said_values, solved_fixes

CODE = "RLC0306"
ID = "BATCH-09"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report horizons that are not the stage's, and warm-ups that do not end."""
    for stage in subject.stages():
        yield from _horizon(stage)
        total, warmup = stage.stage.optim.total_steps, stage.stage.optim.warmup_steps
        if isinstance(total, int) and warmup >= total:
            steps = stage.stage.run.max_steps
            yield Diagnostic(
                CODE,
                f"the warm-up takes {warmup:,} optimizer steps and the stage has {total:,}",
                stage.labels(
                    ("optim.total_steps", f"{total:,} optimizer steps"),
                    ("run.max_steps", f"{steps:,} steps: {total:,} updates" if isinstance(steps, int) else "steps"),
                    ("optim.warmup_steps", "never ends"),
                ),
                (stage.fix("optim.warmup_steps", total // 10),),
                rule=ID,
                paths=(stage.path("optim.warmup_steps"),),
            )


def _horizon(stage: StageSubject) -> Iterator[Diagnostic]:
    values = OPTIMIZER_HORIZON.factors(stage.stage)
    unknowns = OPTIMIZER_HORIZON.unknowns(values)
    if len(unknowns) == 1:
        solution = OPTIMIZER_HORIZON.solve(unknowns[0], values)
        if solution.whole is not None or solution.is_below_one:
            return
        about = stage.shown(unknowns[0])
        message = f"no whole number of {about} gives the horizon of the schedule: it would be {solution}"
    elif not unknowns:
        updates, horizon = OPTIMIZER_HORIZON.sides(values)
        if updates == horizon:
            return
        message = f"the stage takes {updates:,} optimizer steps and its schedule is made for {horizon:,}"
    else:
        return
    helps = solved_fixes(stage, OPTIMIZER_HORIZON, values)
    updates = 0 if unknowns else OPTIMIZER_HORIZON.sides(values)[0]
    if updates and stage.written("optim.total_steps"):
        shown = stage.shown("optim.total_steps")
        way = Help(f"leave {shown} out: it is then derived as {updates}", unsets=(shown,))
        helps = alternatives(way, *(h._replace(text=h.text.removeprefix("or ")) for h in helps))
    labels = stage.labels(*said_values(stage, values))
    yield Diagnostic(CODE, message, labels, helps, rule=ID, paths=tuple(stage.path(f) for f in values))
