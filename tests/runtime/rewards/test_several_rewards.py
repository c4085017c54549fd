"""Several rewards at once, another one for each row, and what shaping makes of them."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any, Never

import pytest

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.openness import OFF
from compiler.ir.reward_settings import FormatReward, Overlong, Scale, Shaping
from compiler.ir.rollout import CustomCode, Reward, RewardTerm
from runtime.rewards.open_terms import check_reward
from runtime.rewards.runner import RewardRunner
from runtime.schedules.trained import rollout_metrics
from stdlib.samples import Group
from tests.support.judged import arriving, group, rewards, sample

TAGGED, BARE = "<think>t</think><answer>1</answer>", "1"


def term(name: str, **settings: Any) -> RewardTerm[Never]:
    values: dict[str, Any] = {"name": name, "level": "sample", "code": OFF, **settings}
    return RewardTerm(**values)


def custom(root: Path, text: str, *, level: str, **settings: Any) -> RewardTerm[Never]:
    path = root / f"{level}.py"
    path.write_text(text)
    code = CustomCode(path=path.name, function="judge", sha256=hashlib.sha256(text.encode()).hexdigest())
    return term(f"{path.name}:judge", level=level, code=code, **settings)


def scored(reward: Reward[Never], *groups: Group, root: Path = Path()) -> list[Group]:
    runner = RewardRunner(reward, root=root)
    try:
        return asyncio.run(runner.score_all(arriving(*groups)))
    finally:
        runner.close()


def total(*terms: RewardTerm[Never], name: str = "weighted_sum", **settings: Any) -> Reward[Never]:
    return Reward(name=name, level="sample", code=OFF, terms=terms, **settings)


def test_scores_are_multiplied_by_their_weights_and_added_and_each_is_kept() -> None:
    reward = total(term("exact", weight=2.0), term("format", label="tags", weight=0.5, format=FormatReward()))
    (found,) = scored(reward, group(0, TAGGED, BARE))
    assert [one.reward for one in found.samples] == [0.5, 2.0]
    assert [dict(one.reward_terms) for one in found.samples] == [
        {"exact": 0.0, "tags": 1.0},
        {"exact": 1.0, "tags": 0.0},
    ]
    metrics = rollout_metrics([found])
    assert (metrics["reward/exact/mean"], metrics["reward/tags/mean"], metrics["reward/mean"]) == (0.5, 0.5, 1.25)


def test_a_single_reward_is_kept_by_its_name_too() -> None:
    (found,) = scored(Reward(name="boxed_exact", level="sample", code=OFF), group(0, "so \\boxed{1}", "1"))
    assert [(one.reward, dict(one.reward_terms)) for one in found.samples] == [
        (1.0, {"boxed_exact": 1.0}),
        (0.0, {"boxed_exact": 0.0}),
    ]


def test_terms_of_every_level_add_up(tmp_path: Path) -> None:
    by_group = custom(tmp_path, "def judge(group):\n    return [len(group.samples)] * 2\n", level="group")
    by_batch = custom(tmp_path, "def judge(batch):\n    return [[len(batch)] * 2 for _ in batch]\n", level="batch")
    slow = "import asyncio\nasync def judge(sample):\n    await asyncio.sleep(0)\n    return 100\n"
    by_sample = custom(tmp_path, slow, level="sample", weight=0.01)
    reward = total(by_group, by_batch, by_sample, term("exact", weight=10.0))
    found = scored(reward, group(1, "1", "2"), group(0, "2", "1"), group(2, "2", "2"), root=tmp_path)
    assert rewards(found) == [[6.0, 16.0], [16.0, 6.0], [6.0, 6.0]]


def test_each_row_names_its_reward() -> None:
    reward = total(term("exact"), term("f1", label="words", weight=2.0), name="by_row", row_key="kind")
    one = group(0, "the cat", "cat", label="cat", metadata={"kind": "exact"})
    other = group(1, "the cat", "dog", label="cat", metadata={"kind": "words"})
    found = scored(reward, one, other)
    assert rewards(found) == [[0.0, 1.0], [2.0, 0.0]]
    metrics = rollout_metrics(found)
    assert (metrics["reward/exact/mean"], metrics["reward/words/mean"]) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "d.jsonl:1 has no kind in its metadata, which is none of the terms: exact, words"),
        ({"kind": "word"}, 'd.jsonl:1 has kind = "word", which is none of the terms: exact, words'),
        ({"kind": ["exact"]}, 'd.jsonl:1 has kind = ["exact"], which is none of the terms: exact, words'),
    ],
)
def test_a_row_that_names_no_reward_is_found_before_the_run(metadata: Any, message: str) -> None:
    reward = total(term("exact"), term("f1", label="words"), name="by_row", row_key="kind")
    check_reward(reward, [sample("", metadata={"kind": "words"}).prompt], root=Path())
    with pytest.raises(SpecError) as caught:
        check_reward(reward, [sample("", metadata=metadata).prompt], root=Path())
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("RLC0685", message)


def test_a_term_that_fails_costs_the_sum_and_the_others_are_kept(tmp_path: Path) -> None:
    failing = custom(tmp_path, "def judge(sample):\n    raise ValueError\n", level="sample", label="bad")
    reward = total(term("exact"), failing, on_failure="score", failure_score=-2.0)
    (found,) = scored(reward, group(0, "1"), root=tmp_path)
    (one,) = found.samples
    assert (one.reward, one.raw_reward, dict(one.reward_terms)) == (-2.0, -2.0, {"exact": 1.0, "bad": -2.0})


def test_shaping_leaves_the_raw_reward_to_metrics() -> None:
    shaping: Shaping[Never] = Shaping(
        scale=Scale(source_min=0.0, source_max=1.0, target_min=-1.0, target_max=1.0),
        truncated_coef=1.0,
        overlong=Overlong(buffer_tokens=4, penalty=1.0, floor=True, max_tokens=8),
    )
    reward = Reward(name="exact", level="sample", code=OFF, shaping=shaping)
    samples = (sample("1", num_tokens=8), sample("2", num_tokens=1, index=1))
    (found,) = scored(reward, Group(prompt=samples[0].prompt, samples=samples))
    assert [(one.reward, one.raw_reward) for one in found.samples] == [(0.0, 1.0), (-1.0, 0.0)]
    metrics = rollout_metrics([found])
    assert (metrics["reward/mean"], metrics["reward/raw/mean"]) == (-0.5, 0.5)
