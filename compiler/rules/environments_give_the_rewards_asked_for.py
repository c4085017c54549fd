"""A reward that the environment gives is asked of one that gives it.

What: where a reward is called `environment`, alone or as a term, the stage has an [environment] that gives rewards:
`sliding_puzzle`, or a function of your own.
Why it matters: `tools` and `search` do not know what a right answer is; every judgement would fail.
Example: `[environment] name = "tools"` with `reward.name = "environment"`.
Fix: `reward.name = "math"`, or another that knows the label.
Source: EPI-02.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.environment import SEARCH, TOOLS
from compiler.ir.openness import Off
from compiler.ir.subject import Subject

CODE = "RLC0381"
ID = "EPI-02"

_REWARD, _NAME = "environment", "environment.name"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report rewards that nobody gives."""
    for stage in subject.stages():
        reward, environment = stage.stage.reward, stage.stage.environment
        if isinstance(reward, Off):
            continue
        named = {"reward.name": reward.name} | {f"reward.terms.{i}.name": t.name for i, t in enumerate(reward.terms)}
        for field, name in named.items():
            if name != _REWARD or not (isinstance(environment, Off) or environment.name in (TOOLS, SEARCH)):
                continue
            gives = "there is no environment" if isinstance(environment, Off) else f"{environment.name} gives none"
            yield Diagnostic(
                CODE,
                f"{stage.shown(field)} takes the reward that the environment gives, and {gives}",
                stage.labels((_NAME, "gives no reward"), (field, "asks for it")),
                (Help(f'set {stage.shown(field)} = "exact", or another that knows the label'),),
                rule=ID,
                paths=(stage.path(field),),
            )
