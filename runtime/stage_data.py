"""What one stage reads: its training rows as the steps that draw from them, and its held-out prompts.

The data of every stage is read before the first is trained, so that a fault in the last file is reported at the start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Never, TypeVar

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.data import PreferenceData, RankedData, ScoredData
from compiler.ir.evaluated import pair_sets, sampled_sets, scored_sets
from compiler.ir.experiment import Stage
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from runtime.buffer.selection import load_selector
from runtime.data.context_limit import context_limit
from runtime.data.demonstrations import load_demonstrations, supervised_batch
from runtime.data.jsonl import Dropped
from runtime.data.preferences import Preference, load_preferences
from runtime.data.prompts import RowPolicy, load_prompts
from runtime.data.scores import ScoredAnswer, load_scores, ranked_batch, scored_batch
from runtime.data.tokenizers import TextTokenizer
from runtime.rewards.open_terms import check_reward
from runtime.schedules.group_filter import load_group_filter
from runtime.schedules.sync import PolicySchedule, PreferenceSchedule, SupervisedSchedule
from runtime.stage_job import Step
from stdlib.samples import Prompt

R = TypeVar("R")


class StageData(NamedTuple):
    """The data of a stage.

    `digest` names the content of the training files; what is held out is empty for a stage that does not evaluate on
    it.  Rows that are too long, and were dropped or cut, are counted, and so are malformed ones that were dropped.
    `rewarded` are the training prompts whose responses are judged.
    """

    take_step: Step
    num_rows: int
    num_overlong: int
    dropped: Dropped
    digest: str
    heldout: HeldOutData
    rewarded: Sequence[Prompt] = ()

    def metrics(self) -> dict[str, float]:
        """Return what the first row of a stage says of its data."""
        return {
            "data/rows": self.num_rows,
            "data/overlong_rows": self.num_overlong,
            "data/malformed_rows": self.dropped.count,
            "data/overlong_heldout_rows": self.heldout.num_overlong,
        }


class HeldOutData(NamedTuple):
    """What a stage is measured on, by the names of its sets: prompts, pairs of answers, answers with scores."""

    prompts: Mapping[str, Sequence[Prompt]]
    pairs: Mapping[str, Sequence[Preference]]
    scored: Mapping[str, Sequence[ScoredAnswer]]
    num_overlong: int


class _Rows(NamedTuple):
    """The training rows of a stage, as the step that takes them; `rewarded` as in StageData."""

    take_step: Step
    num_rows: int
    num_overlong: int
    dropped: Dropped
    rewarded: Sequence[Prompt] = ()


def load_stage_data(stage: Stage[Never], model: Model[Never], tokenizer: TextTokenizer, *, root: Path) -> StageData:
    """Read the data of a stage; paths are relative to `root`.  Raises: SpecError with every fault of the files."""
    heldout = load_heldout(stage, model, tokenizer, root=root)
    rows = _training_rows(stage, model, tokenizer, root)
    return StageData(
        take_step=rows.take_step,
        num_rows=rows.num_rows,
        num_overlong=rows.num_overlong,
        dropped=rows.dropped,
        digest=_digest([root / source.path for source in stage.data.train]),
        heldout=heldout,
        rewarded=rows.rewarded,
    )


def check_rewards(stage: Stage[Never], data: StageData, *, root: Path) -> None:
    """Look at what can be known of a stage's rewards before anything is trained.  Raises: SpecError as check_reward."""
    sets, prompts = sampled_sets(stage.eval), data.heldout.prompts
    others = [p for measured in sets if isinstance(measured.reward, Off) for p in prompts.get(measured.name, ())]
    if not isinstance(stage.reward, Off):
        check_reward(stage.reward, [*data.rewarded, *others], root=root)
    for measured in sets:
        if not isinstance(measured.reward, Off):
            check_reward(measured.reward, prompts.get(measured.name, ()), root=root)


def load_heldout(stage: Stage[Never], model: Model[Never], tokenizer: TextTokenizer, *, root: Path) -> HeldOutData:
    """Return what a stage is measured on.  Raises: SpecError with every fault of the files."""
    prompts: dict[str, Sequence[Prompt]] = {}
    pairs: dict[str, Sequence[Preference]] = {}
    scored: dict[str, Sequence[ScoredAnswer]] = {}
    num_overlong, limit = 0, context_limit(stage, model)
    rollout = stage.rollout
    for measured in sampled_sets(stage.eval):
        if isinstance(rollout, Off):
            raise InternalError("responses are sampled for an evaluation, and nothing says how")
        loaded = load_prompts(
            (measured,),
            tokenizer,
            root=root,
            max_prompt_tokens=rollout.max_prompt_tokens,
            overlong=rollout.overlong_prompts,
        )
        prompts[measured.name] = _first(loaded.prompts, measured.max_prompts)
        num_overlong += loaded.num_overlong
    for of_pairs in pair_sets(stage.eval):
        compared = load_preferences((of_pairs,), tokenizer, root=root, limit=limit)
        pairs[of_pairs.name] = _first(compared.rows, of_pairs.max_pairs)
        num_overlong += compared.num_overlong
    for of_scores in scored_sets(stage.eval):
        judged = load_scores((of_scores,), tokenizer, root=root, limit=limit)
        scored[of_scores.name] = _first(judged.rows, of_scores.max_rows)
        num_overlong += judged.num_overlong
    return HeldOutData(prompts, pairs, scored, num_overlong)


def _first(rows: Sequence[R], most: int | Off) -> Sequence[R]:
    return rows if isinstance(most, Off) else rows[:most]


def _training_rows(stage: Stage[Never], model: Model[Never], tokenizer: TextTokenizer, root: Path) -> _Rows:
    rollout, data, pad = stage.rollout, stage.data, tokenizer.pad_token_id
    limit, malformed = context_limit(stage, model), data.malformed_rows
    if isinstance(data, PreferenceData):
        pairs = load_preferences(data.train, tokenizer, root=root, limit=limit, malformed=malformed)
        ranked = SupervisedSchedule(pairs.rows, partial(ranked_batch, pad_token_id=pad))
        step = ranked.step if isinstance(data, RankedData) else PreferenceSchedule(pairs.rows).step
        return _Rows(step, len(pairs.rows), pairs.num_overlong, pairs.dropped)
    if isinstance(data, ScoredData):
        scored = load_scores(data.train, tokenizer, root=root, limit=limit, malformed=malformed)
        by_score = SupervisedSchedule(scored.rows, partial(scored_batch, pad_token_id=pad))
        return _Rows(by_score.step, len(scored.rows), scored.num_overlong, scored.dropped)
    if isinstance(rollout, Rollout):
        found = load_prompts(
            data.train,
            tokenizer,
            root=root,
            max_prompt_tokens=rollout.max_prompt_tokens,
            overlong=rollout.overlong_prompts,
            wanted=RowPolicy(malformed, label=not isinstance(stage.reward, Off)),
        )
        prompts, keeps = found.prompts, load_group_filter(stage, root=root)
        select = None if isinstance(rollout.buffer, Off) else load_selector(rollout.buffer, root=root)
        judged = () if isinstance(stage.reward, Off) else prompts
        return _Rows(
            PolicySchedule(prompts, keeps, select).step, len(prompts), found.num_overlong, found.dropped, judged
        )
    shown = load_demonstrations(data.train, tokenizer, root=root, limit=limit, malformed=malformed)
    imitated = SupervisedSchedule(shown.rows, supervised_batch)
    return _Rows(imitated.step, len(shown.rows), shown.num_overlong, shown.dropped)


def _digest(paths: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
