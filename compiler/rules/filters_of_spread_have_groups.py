"""A filter that compares the rewards of a group has several.

What: with `rollout.filter.name = "nonzero_std"`, `rollout.samples_per_prompt` is at least 2.
Why it matters: the reward of one sample equals itself, so no group ever passes.  Every step samples all the prompts
that `max_refills` allows, leaves them out, and then trains on groups that were left out, on fewer, or ends the run.
Example: REINFORCE++ with one sample a prompt, and dynamic sampling.
Fix: two samples a prompt or more; or no filter.
Source: BUF-05; DAPO, arXiv:2503.14476, section 3.2, whose condition no group of one meets.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import Subject

CODE = "RLC0359"
ID = "BUF-05"

_SAMPLES, _FILTER = "rollout.samples_per_prompt", "rollout.filter.name"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report filters that no group passes."""
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if not isinstance(rollout, Rollout) or isinstance(rollout.filter, Off) or isinstance(stage.stage.reward, Off):
            continue
        if rollout.filter.name == "nonzero_std" and rollout.samples_per_prompt == 1:
            yield Diagnostic(
                CODE,
                "the rewards of a group of one sample never differ, so the filter leaves out every group",
                stage.labels((_SAMPLES, "one sample"), (_FILTER, "keeps groups whose rewards differ")),
                alternatives(stage.fix(_SAMPLES, 8), Help(f"or leave [{stage.shown('rollout.filter')}] out")),
                rule=ID,
                paths=(stage.path(_SAMPLES), stage.path(_FILTER)),
            )
