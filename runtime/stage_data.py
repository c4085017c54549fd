"""What one stage reads: its training rows as the steps that draw from them, and its held-out prompts.

The data of every stage is opened before the first is trained, and all rows judged that a plan does not leave for later,
so that a fault in the last file is reported at the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Never, TypeVar

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.data import DemonstrationData, PreferenceData, RankedData, ScoredData
from compiler.ir.evaluated import pair_sets, sampled_sets, scored_sets
from compiler.ir.experiment import Stage
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from runtime.buffer.selection import load_selector
from runtime.data.context_limit import context_limit
from runtime.data.demonstrations import DemonstrationReading, supervised_batch
from runtime.data.feed import Feed
from runtime.data.jsonl import Dropped
from runtime.data.open_feed import Needs, Opened, open_feed
from runtime.data.preferences import Preference, PreferenceReading, load_preferences
from runtime.data.prompts import PromptReading, prompt_limit, read_prompts
from runtime.data.reading import Effort
from runtime.data.scores import ScoredAnswer, ScoreReading, load_scores, ranked_batch, scored_batch
from runtime.data.sources import digest_of, digest_of_files
from runtime.data.tokenizers import TextTokenizer
from runtime.data.turns import Tools
from runtime.environments.known import documents_of
from runtime.environments.opened import OpenEnvironment, check_prompts, open_environment
from runtime.rewards.open_terms import check_reward
from runtime.schedules.async_ import AsyncSchedule
from runtime.schedules.group_filter import load_group_filter
from runtime.schedules.sync import PolicySchedule, PreferenceSchedule, SupervisedSchedule
from runtime.stage_job import Step
from stdlib.samples import Prompt

R = TypeVar("R")


class StageData(NamedTuple):
    """The data of a stage.

    `digest` names the content of the training data, and behind a space that of documents which an environment
    searches; what is held out is empty for a stage that does not evaluate on
    it.  Rows that are too long, and were dropped or cut, are counted, and so are malformed ones that were dropped, as
    far as rows were judged at the start.  `num_rows` is 0 where the data has no end.  `rewarded` are the training
    prompts whose responses are judged, as far as they were read.
    """

    take_step: Step
    feed: Feed[Any]
    num_rows: int
    num_overlong: int
    dropped: Dropped
    digest: str
    heldout: HeldOutData
    rewarded: Sequence[Prompt] = ()
    environment: OpenEnvironment | None = None

    def metrics(self) -> dict[str, float]:
        """Return what the first row of a stage says of its data."""
        known: dict[str, float] = {"data/rows": self.num_rows} if self.num_rows else {}
        return known | {
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


class _Training(NamedTuple):
    """The training rows of a stage, and the step that takes them; `rewarded` as in StageData.

    `prompts` are those that were read at the start, of a stage that samples.
    """

    opened: Opened[Any]
    take_step: Step
    rewarded: Sequence[Prompt] = ()
    prompts: Sequence[Prompt] = ()


def load_stage_data(stage: Stage[Never], model: Model[Never], tokenizer: TextTokenizer, *, root: Path) -> StageData:
    """Read the data of a stage; paths are relative to `root`.  Raises: SpecError with every fault of the data."""
    environment = open_environment(stage, root=root)
    tools = () if environment is None else environment.tools
    heldout = load_heldout(stage, model, tokenizer, tools, root=root)
    training = _training(stage, model, tokenizer, tools, root)
    for prompts in (training.prompts, *heldout.prompts.values()):
        check_prompts(environment, prompts)
    found = training.opened
    documents = digest_of_files(documents_of(stage), root=root)
    return StageData(
        take_step=training.take_step,
        feed=found.feed,
        num_rows=found.num_rows,
        num_overlong=found.num_overlong,
        dropped=found.dropped,
        digest=f"{digest_of(stage.data.train, root=root)} {documents}".strip(),
        heldout=heldout,
        rewarded=training.rewarded,
        environment=environment,
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


def load_heldout(
    stage: Stage[Never], model: Model[Never], tokenizer: TextTokenizer, tools: Tools, *, root: Path
) -> HeldOutData:
    """Return what a stage is measured on.  Raises: SpecError with every fault of the files.

    Args:
        tools: of the stage's environment, which prompts are rendered with.
    """
    prompts: dict[str, Sequence[Prompt]] = {}
    pairs: dict[str, Sequence[Preference]] = {}
    scored: dict[str, Sequence[ScoredAnswer]] = {}
    num_overlong, limit = 0, context_limit(stage, model)
    rollout = stage.rollout
    for measured in sampled_sets(stage.eval):
        if isinstance(rollout, Off):
            raise InternalError("responses are sampled for an evaluation, and nothing says how")
        longest = prompt_limit(rollout.max_prompt_tokens, rollout.overlong_prompts)
        reading = PromptReading(tokenizer, tools=tools)
        loaded = read_prompts((measured,), reading, longest, root=root, effort=Effort())
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


def _training(
    stage: Stage[Never], model: Model[Never], tokenizer: TextTokenizer, tools: Tools, root: Path
) -> _Training:
    data, pad = stage.data, tokenizer.pad_token_id
    needs = Needs(context_limit(stage, model), stage.train.global_batch, stage.seeds.data)
    if isinstance(data, RankedData):
        ranked = open_feed(data, data.train, PreferenceReading(tokenizer), needs, root=root)
        return _Training(ranked, SupervisedSchedule(ranked.feed, partial(ranked_batch, pad_token_id=pad)).step)
    if isinstance(data, PreferenceData):
        pairs = open_feed(data, data.train, PreferenceReading(tokenizer), needs, root=root)
        return _Training(pairs, PreferenceSchedule(pairs.feed).step)
    if isinstance(data, ScoredData):
        scored = open_feed(data, data.train, ScoreReading(tokenizer), needs, root=root)
        return _Training(scored, SupervisedSchedule(scored.feed, partial(scored_batch, pad_token_id=pad)).step)
    if isinstance(data, DemonstrationData):
        shown = open_feed(data, data.train, DemonstrationReading(tokenizer), needs, root=root)
        return _Training(shown, SupervisedSchedule(shown.feed, supervised_batch).step)
    rollout, is_judged = stage.rollout, not isinstance(stage.reward, Off)
    if not isinstance(rollout, Rollout):
        raise InternalError("a stage that samples has a rollout")
    longest = prompt_limit(rollout.max_prompt_tokens, rollout.overlong_prompts)
    needs = Needs(longest, rollout.prompts_per_step, stage.seeds.data)
    reading = PromptReading(tokenizer, needs_label=is_judged, tools=tools)
    prompts = open_feed(data, data.train, reading, needs, root=root)
    keeps = load_group_filter(stage, root=root)
    select = None if isinstance(rollout.buffer, Off) else load_selector(rollout.buffer, root=root)
    waits = not stage.schedule.lag
    take_step = (PolicySchedule(prompts.feed, keeps, select) if waits else AsyncSchedule(prompts.feed, keeps)).step
    return _Training(prompts, take_step, prompts.rows if is_judged else (), prompts.rows)
