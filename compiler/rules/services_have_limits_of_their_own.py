"""Limits are set where they are read.

What: `reward.timeout_s` and `reward.concurrency` bound calls of functions.  Where every reward of a stage is a service,
a model or a sandbox, these have limits of their own, and the two are not written.
Why it matters: a key that is set and read by nothing is a wish that nobody hears; here the run would wait for ten
attempts of two minutes each, whatever `reward.timeout_s` says.
Example: `reward.name = "judge"` with `reward.timeout_s = 5`.
Fix: `judge.timeout_s` and `judge.attempts`; `remote.max_connections`; `code_tests.timeout_s` and `processes`.
Source: CFG-02, REWARD-05.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.reward_settings import COMBINED
from compiler.ir.rollout import Reward
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0344"
ID = "REWARD-05"

_OWN = {
    "judge": {"timeout_s": "timeout_s", "concurrency": "max_connections"},
    "remote": {"timeout_s": "timeout_s", "concurrency": "max_connections"},
    "code_tests": {"timeout_s": "timeout_s", "concurrency": "processes"},
    "reward_model": {"timeout_s": "", "concurrency": "batch_tokens"},
}


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report limits of functions where there is no function."""
    for stage in subject.stages():
        reward = stage.stage.reward
        if isinstance(reward, Off):
            continue
        names = [term.name for term in reward.terms] if reward.name in COMBINED else [reward.name]
        if names and all(name in _OWN for name in names):
            yield from _unread(stage, reward, names[0])


def _unread(stage: StageSubject, reward: Reward[object], first: str) -> Iterator[Diagnostic]:
    for limit, own in _OWN[first].items():
        path = f"reward.{limit}"
        if stage.written(path):
            table = f"reward.terms[0].{first}" if reward.name in COMBINED else f"reward.{first}"
            ways = (Help(f"set {table}.{own} instead"), Help("or delete it")) if own else (Help("delete it"),)
            message = f"{stage.shown(path)} bounds calls of functions, and {first} is none"
            labels = stage.labels((path, "has no effect"))
            yield Diagnostic(CODE, message, labels, ways, rule=ID, paths=(stage.path(path),))
