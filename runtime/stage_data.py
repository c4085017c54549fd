"""What one stage reads: its training rows as the steps that draw from them, and its held-out prompts.

The data of every stage is read before the first is trained, so that a fault in the last file is reported at the start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Never

from compiler.ir.data import PreferenceData
from compiler.ir.experiment import Stage
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from runtime.buffer.selection import load_selector
from runtime.data.context_limit import context_limit
from runtime.data.demonstrations import load_demonstrations
from runtime.data.jsonl import Dropped
from runtime.data.preferences import load_preferences
from runtime.data.prompts import RowPolicy, load_prompts
from runtime.data.tokenizers import TextTokenizer
from runtime.rewards.open_terms import check_reward
from runtime.schedules.group_filter import load_group_filter
from runtime.schedules.sync import PolicySchedule, PreferenceSchedule, SupervisedSchedule
from runtime.stage_job import Step
from stdlib.samples import Prompt


class StageData(NamedTuple):
    """The data of a stage.

    `digest` names the content of the training files; `heldout` is empty for a stage that does not evaluate.  Rows that
    are too long, and were dropped or cut, are counted, and so are malformed ones that were dropped.  `rewarded` are the
    training prompts whose responses are judged.
    """

    take_step: Step
    num_rows: int
    num_overlong: int
    dropped: Dropped
    digest: str
    heldout: Mapping[str, Sequence[Prompt]]
    num_heldout_overlong: int
    rewarded: Sequence[Prompt] = ()

    def metrics(self) -> dict[str, float]:
        """Return what the first row of a stage says of its data."""
        return {
            "data/rows": self.num_rows,
            "data/overlong_rows": self.num_overlong,
            "data/malformed_rows": self.dropped.count,
            "data/overlong_heldout_rows": self.num_heldout_overlong,
        }


class _Rows(NamedTuple):
    """The training rows of a stage, as the step that takes them; `rewarded` as in StageData."""

    take_step: Step
    num_rows: int
    num_overlong: int
    dropped: Dropped
    rewarded: Sequence[Prompt] = ()


def load_stage_data(stage: Stage[Never], model: Model[Never], tokenizer: TextTokenizer, *, root: Path) -> StageData:
    """Read the data of a stage; paths are relative to `root`.  Raises: SpecError with every fault of the files."""
    heldout, num_heldout_overlong = load_heldout(stage, tokenizer, root=root)
    rows = _training_rows(stage, model, tokenizer, root)
    return StageData(
        take_step=rows.take_step,
        num_rows=rows.num_rows,
        num_overlong=rows.num_overlong,
        dropped=rows.dropped,
        digest=_digest([root / source.path for source in stage.data.train]),
        heldout=heldout,
        num_heldout_overlong=num_heldout_overlong,
        rewarded=rows.rewarded,
    )


def check_rewards(stage: Stage[Never], data: StageData, *, root: Path) -> None:
    """Look at what can be known of a stage's rewards before anything is trained.  Raises: SpecError as check_reward."""
    sets = () if isinstance(stage.eval, Off) else stage.eval.sets
    others = [p for measured in sets if isinstance(measured.reward, Off) for p in data.heldout.get(measured.name, ())]
    if not isinstance(stage.reward, Off):
        check_reward(stage.reward, [*data.rewarded, *others], root=root)
    for measured in sets:
        if not isinstance(measured.reward, Off):
            check_reward(measured.reward, data.heldout.get(measured.name, ()), root=root)


def load_heldout(
    stage: Stage[Never], tokenizer: TextTokenizer, *, root: Path
) -> tuple[dict[str, Sequence[Prompt]], int]:
    """Return the prompts of each held-out set by its name, and how many rows were too long and dropped or cut.

    Raises: SpecError with every fault of the files.
    """
    settings, rollout = stage.eval, stage.rollout
    found: dict[str, Sequence[Prompt]] = {}
    num_overlong = 0
    if isinstance(settings, Off) or isinstance(rollout, Off):
        return found, num_overlong
    for measured in settings.sets:
        loaded = load_prompts(
            (measured,),
            tokenizer,
            root=root,
            max_prompt_tokens=rollout.max_prompt_tokens,
            overlong=rollout.overlong_prompts,
        )
        most = None if isinstance(measured.max_prompts, Off) else measured.max_prompts
        found[measured.name] = loaded.prompts[:most]
        num_overlong += loaded.num_overlong
    return found, num_overlong


def _training_rows(stage: Stage[Never], model: Model[Never], tokenizer: TextTokenizer, root: Path) -> _Rows:
    rollout, data = stage.rollout, stage.data
    limit = context_limit(stage, model)
    if isinstance(data, PreferenceData):
        pairs = load_preferences(data.train, tokenizer, root=root, limit=limit, malformed=data.malformed_rows)
        return _Rows(PreferenceSchedule(pairs.rows).step, len(pairs.rows), pairs.num_overlong, pairs.dropped)
    if isinstance(rollout, Rollout):
        found = load_prompts(
            data.train,
            tokenizer,
            root=root,
            max_prompt_tokens=rollout.max_prompt_tokens,
            overlong=rollout.overlong_prompts,
            wanted=RowPolicy(data.malformed_rows, label=not isinstance(stage.reward, Off)),
        )
        prompts, keeps = found.prompts, load_group_filter(stage, root=root)
        select = None if isinstance(rollout.buffer, Off) else load_selector(rollout.buffer, root=root)
        judged = () if isinstance(stage.reward, Off) else prompts
        return _Rows(
            PolicySchedule(prompts, keeps, select).step, len(prompts), found.num_overlong, found.dropped, judged
        )
    shown = load_demonstrations(data.train, tokenizer, root=root, limit=limit, malformed=data.malformed_rows)
    return _Rows(SupervisedSchedule(shown.rows).step, len(shown.rows), shown.num_overlong, shown.dropped)


def _digest(paths: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()
