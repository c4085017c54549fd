"""A group that waits needs nothing of its step.

What: a stage with [rollout.buffer] judges each group by itself, compares it with no response that is sampled beside it,
and waits for its sampling.
Why it matters: a reward of a whole batch scores a group by the company it was finished in, which is another one than it
is trained in.  A greedy response, as ReMax compares with, is of the weights of one moment, and the group may be of
several.  A loop that does not wait keeps groups in a queue of its own, with the staleness as its bound.
Example: `algo.name = "remax"` with `[rollout.buffer]`.
Fix: no buffer; or a reward of a sample or a group, an algorithm without greedy responses, `schedule.mode = "sync"`.
Source: BUF-03; slime refuses --partial-rollout in a fully asynchronous loop.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.algorithm import GreedyBaselineAlgo
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0368"
ID = "BUF-03"

_BUFFER = "rollout.buffer"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report buffers whose groups cannot wait."""
    for stage in subject.stages():
        rollout, reward, algo = stage.stage.rollout, stage.stage.reward, stage.stage.algorithm.algo
        if not isinstance(rollout, Rollout) or isinstance(rollout.buffer, Off):
            continue
        if isinstance(algo, GreedyBaselineAlgo):
            message = f"{algo.name} compares a group with a greedy response of the same weights, and groups that wait "
            yield _diagnostic(stage, message + "are of several", "algo.name", "samples greedily beside each group")
        if not isinstance(reward, Off) and reward.level == "batch":
            message = (
                f"{reward.name} judges a whole batch, and groups that wait are trained in another than they ended in"
            )
            yield _diagnostic(stage, message, "reward.name", "judges a batch")
        if stage.stage.schedule.lag:
            message = "a loop that does not wait keeps groups in a queue of its own"
            found = _diagnostic(stage, message, "schedule.mode", "has a queue, bounded by its staleness")
            yield found._replace(help=alternatives(*found.help, stage.fix("schedule.mode", "sync")))


def _diagnostic(stage: StageSubject, message: str, field: str, said: str) -> Diagnostic:
    return Diagnostic(
        CODE,
        message,
        stage.labels(("rollout.buffer.max_staleness_steps", "keeps groups for later steps"), (field, said)),
        (Help(f"leave [{stage.shown(_BUFFER)}] out"),),
        rule=ID,
        paths=(stage.path(_BUFFER), stage.path(field)),
    )
