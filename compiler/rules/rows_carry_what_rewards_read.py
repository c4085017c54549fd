"""Rows carry what the rewards read.

What: where a reward reads metadata, `by_row` and `ifbench` do, every source of rows that are judged names the key that
holds it.
Why it matters: without it each row comes without its instructions, or without the reward that judges it, and the run
ends at its first row.
Example: `reward.name = "ifbench"` with `[[data.train]] path = "if.jsonl"` and no `metadata_key`.
Fix: `metadata_key = "metadata"`, the key of the row that holds an object with what the reward reads.
Source: REWARD-03; the metadata of slime's rows.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.data import DataSource
from compiler.ir.evaluated import sampled_sets
from compiler.ir.openness import Off
from compiler.ir.reward_settings import BY_ROW
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0342"
ID = "REWARD-03"

_READERS = (BY_ROW, "ifbench")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report sources of judged rows that name no metadata where a reward reads it."""
    for stage in subject.stages():
        reward = stage.stage.reward
        if isinstance(reward, Off):
            continue
        readers = [one.name for one in (reward, *reward.terms) if one.name in _READERS]
        if readers:
            yield from _without_metadata(stage, readers[0])


def _without_metadata(stage: StageSubject, reader: str) -> Iterator[Diagnostic]:
    evaluation = stage.stage.eval
    trains = isinstance(stage.stage.rollout, Rollout)
    sources = [
        ("data.train", i, one) for i, one in enumerate(stage.stage.data.train) if trains and isinstance(one, DataSource)
    ]
    sources += [("eval.sets", i, one) for i, one in enumerate(sampled_sets(evaluation))]
    for table, index, source in sources:
        if isinstance(source.metadata_key, Off):
            path = f"{table}.{index}"
            yield Diagnostic(
                CODE,
                f"{reader} reads the metadata of rows, and those of {source.called} have none",
                stage.labels(*((f"{path}.{name}", "without metadata_key") for name in ("path", "hub", "function"))),
                (Help('write metadata_key = "metadata" beside it: the key of a row that holds it'),),
                rule=ID,
                paths=(stage.path(f"{path}.metadata_key"),),
            )
