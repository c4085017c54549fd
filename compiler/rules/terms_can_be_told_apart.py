"""Several rewards are several, and count.

What: `weighted_sum` and `by_row` list their rewards as `[[reward.terms]]`; each has a label of its own, which is its
name unless set, and that no other metric has; at least one weight is not 0.
Why it matters: metrics, rows and algorithms that treat rewards apart find them by their labels, and one of two equal
ones would be lost; a sum of weights that are all 0 trains on nothing.
Example: two terms `name = "regex"`, neither with a `label`.
Fix: `label = "has_box"`, or a weight.
Source: REWARD-02; GDPO (arXiv:2601.05242) normalises each reward by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Auto, Off
from compiler.ir.reward_settings import COMBINED
from compiler.ir.rollout import Reward, RewardTerm
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0341"
ID = "REWARD-02"

# What metrics call something else: reward/mean and its like.
_TAKEN = ("mean", "std", "raw", "failed", "unjudged", "retries", "model_batches", "programs", "programs_late")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report terms that are missing, that share a label, or that weigh nothing."""
    for stage in subject.stages():
        reward = stage.stage.reward
        if not isinstance(reward, Off) and reward.name in COMBINED:
            yield from _check(stage, reward)


def _check(stage: StageSubject, reward: Reward[Auto]) -> Iterator[Diagnostic]:
    if not reward.terms:
        way = Help("write [[reward.terms]] with a name for each")
        yield _diagnostic(stage, "name", f"{reward.name} has no terms", "of what?", way)
        return
    if all(term.weight == 0 for term in reward.terms):
        way = Help("set the weight of at least one term")
        yield _diagnostic(stage, "terms.0.weight", "every term has weight 0", "weighs nothing", way)

    seen: set[str] = set()
    for index, term in enumerate(reward.terms):
        label, path = _label(term), f"terms.{index}.{'name' if isinstance(term.label, Off) else 'label'}"
        if label in seen:
            way = Help(f'write label = "{label.rpartition(":")[2]}_{index + 1}" beside its name')
            yield _diagnostic(stage, path, f"two terms are called {label}", "the second of them", way)
        elif label in _TAKEN or not _is_a_name(label):
            message = f"a term cannot be called {label}: metrics would be called reward/{label}/mean"
            yield _diagnostic(stage, path, message, "taken, or no name", Help("give it another label"))
        seen.add(label)


def _is_a_name(label: str) -> bool:
    """Whether every part between slashes is made of letters, digits and a few signs."""
    return all(part and all(c.isalnum() or c in "_.:+-" for c in part) for part in label.split("/"))


def _label(term: RewardTerm[Auto]) -> str:
    return term.name if isinstance(term.label, Off) else term.label


def _diagnostic(stage: StageSubject, field: str, message: str, note: str, way: Help) -> Diagnostic:
    path = f"reward.{field}"
    return Diagnostic(CODE, message, stage.labels((path, note)), (way,), rule=ID, paths=(stage.path(path),))
