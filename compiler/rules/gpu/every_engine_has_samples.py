"""Every engine has samples.

What: a warning where a rollout has fewer samples than there are rollout engines.
Why it matters: engines without a request are idle for the whole rollout. Any larger number is fine: requests go to
engines one by one, so nothing has to be divisible.
Example: 2 prompts with 8 samples each on 32 engines.
Fix: more samples, or fewer and larger engines.
Source: BATCH-06; verl#473, EasyR1#44 and ROLL PR#135, where samples are cut into equal chunks instead.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.rollout import Rollout
from compiler.ir.subject import Subject
from compiler.rules._gpu_layout import layout_of
from compiler.rules._solved_fixes import counted

CODE = "RLC0533"
ID = "BATCH-06"
_PROMPTS, _GROUP = "rollout.prompts_per_step", "rollout.samples_per_prompt"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report rollouts that leave engines without a request."""
    layout = layout_of(subject)
    if layout is None or not isinstance(layout.placement.rollout_gpus, int):
        return
    engines = layout.placement.generating_engines()
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if not isinstance(rollout, Rollout):
            continue
        prompts, group = rollout.prompts_per_step, rollout.samples_per_prompt
        if isinstance(prompts, int) and isinstance(group, int) and prompts * group < engines:
            samples = prompts * group
            yield Diagnostic(
                CODE,
                f"a rollout of {counted(samples, 'samples')} leaves {engines - samples:,} of {engines:,} engines idle",
                stage.labels((_GROUP, f"{counted(group, 'samples')} of each"), (_PROMPTS, counted(prompts, "prompts"))),
                rule=ID,
                severity="warning",
                paths=(stage.path(_PROMPTS), stage.path(_GROUP), "placement.rollout_gpus", "placement.gpus_per_engine"),
            )
