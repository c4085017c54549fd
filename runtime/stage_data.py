"""What one stage reads: its training rows as the steps that draw from them, and its held-out prompts.

The data of every stage is opened before the first is trained, and all rows judged that a plan does not leave for later,
so that a fault in the last file is reported at the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Never

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.data import DemonstrationData, PreferenceData
from compiler.ir.experiment import Stage
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from runtime.buffer.selection import load_selector
from runtime.data.context_limit import context_limit
from runtime.data.demonstrations import DemonstrationReading
from runtime.data.feed import Feed
from runtime.data.jsonl import Dropped
from runtime.data.open_feed import Needs, Opened, open_feed
from runtime.data.preferences import PreferenceReading
from runtime.data.prompts import PromptReading, load_prompts, prompt_limit
from runtime.data.sources import digest_of
from runtime.data.tokenizers import TextTokenizer
from runtime.rewards.open_terms import check_reward
from runtime.schedules.group_filter import load_group_filter
from runtime.schedules.sync import PolicySchedule, PreferenceSchedule, SupervisedSchedule
from runtime.stage_job import Step
from stdlib.samples import Prompt


class StageData(NamedTuple):
    """The data of a stage.

    `digest` names the content of the training data; `heldout` is empty for a stage that does not evaluate.  Rows that
    are too long, and were dropped or cut, are counted, and so are malformed ones that were dropped, as far as rows were
    judged at the start.  `num_rows` is 0 where the data has no end.  `rewarded` are the training prompts whose
    responses are judged, as far as they were read.
    """

    take_step: Step
    feed: Feed[Any]
    num_rows: int
    num_overlong: int
    dropped: Dropped
    digest: str
    heldout: Mapping[str, Sequence[Prompt]]
    num_heldout_overlong: int
    rewarded: Sequence[Prompt] = ()

    def metrics(self) -> dict[str, float]:
        """Return what the first row of a stage says of its data."""
        known: dict[str, float] = {"data/rows": self.num_rows} if self.num_rows else {}
        return known | {
            "data/overlong_rows": self.num_overlong,
            "data/malformed_rows": self.dropped.count,
            "data/overlong_heldout_rows": self.num_heldout_overlong,
        }


def load_stage_data(stage: Stage[Never], model: Model[Never], tokenizer: TextTokenizer, *, root: Path) -> StageData:
    """Read the data of a stage; paths are relative to `root`.  Raises: SpecError with every fault of the data."""
    heldout, num_heldout_overlong = load_heldout(stage, tokenizer, root=root)
    rollout, data, limit = stage.rollout, stage.data, context_limit(stage, model)
    rewarded: Sequence[Prompt] = ()
    if isinstance(data, PreferenceData):
        needs = Needs(limit, stage.train.global_batch, stage.seeds.data)
        pairs = open_feed(data, data.train, PreferenceReading(tokenizer), needs, root=root)
        found: Opened[Any] = pairs
        step: Step = PreferenceSchedule(pairs.feed).step
    elif isinstance(data, DemonstrationData):
        needs = Needs(limit, stage.train.global_batch, stage.seeds.data)
        shown = open_feed(data, data.train, DemonstrationReading(tokenizer), needs, root=root)
        found, step = shown, SupervisedSchedule(shown.feed).step
    else:
        if not isinstance(rollout, Rollout):
            raise InternalError("a stage that samples has a rollout")
        longest = prompt_limit(rollout.max_prompt_tokens, rollout.overlong_prompts)
        needs = Needs(longest, rollout.prompts_per_step, stage.seeds.data)
        prompts = open_feed(data, data.train, PromptReading(tokenizer), needs, root=root)
        keeps = load_group_filter(stage, root=root)
        select = None if isinstance(rollout.buffer, Off) else load_selector(rollout.buffer, root=root)
        found, step, rewarded = prompts, PolicySchedule(prompts.feed, keeps, select).step, prompts.rows
    return StageData(
        take_step=step,
        feed=found.feed,
        num_rows=found.num_rows,
        num_overlong=found.num_overlong,
        dropped=found.dropped,
        digest=digest_of(data.train, root=root),
        heldout=heldout,
        num_heldout_overlong=num_heldout_overlong,
        rewarded=rewarded,
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
