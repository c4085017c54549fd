"""Evaluation: accuracies counted again from what the engine answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Never

import pytest

from compiler.ir.data import EvalSampling, EvalSet
from compiler.ir.model import Tokenizer
from compiler.ir.openness import OFF
from compiler.ir.rollout import Reward, Sampling
from runtime.data.tokenizers import load_tokenizer
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.estimates import wilson_interval
from runtime.evaluation import Evaluator, HeldOut
from runtime.protocols import Completion, DrawKey
from runtime.rewards.runner import RewardRunner
from runtime.rollouts import RolloutWorker
from stdlib.samples import Prompt
from tests.contract.rollout_engines import GREEDY, engine_of, generate, request
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

MODEL = tiny_model(tokenizer=Tokenizer(kind="characters", alphabet="0123456789+-*/=()abcdefghijklmnop"))
TOKENIZER = load_tokenizer(MODEL, root=Path())
HOT = Sampling(temperature=0.8, top_p=0.9, top_k=20)
END = frozenset({30})
SAMPLING: EvalSampling[Never] = EvalSampling(temperature=0.8, top_p=0.9, top_k=20)
SETTINGS = {
    "samples_per_prompt": 16,
    "max_response_tokens": 2,
    "metrics": (),
    "k": (),
    "answer": OFF,
    "greedy": True,
    "max_prompts": OFF,
    "correct_at": 1.0,
    "sampling": SAMPLING,
}


def answers(prompts: Sequence[Prompt], sampling: Sampling, *, num_samples: int, step: int = 0) -> list[Completion]:
    asked = [
        request(
            p.tokens,
            key=DrawKey(seed=77, stage=2, step=step, group=i),
            num_samples=num_samples,
            max_new_tokens=2,
            stop_token_ids=END,
            sampling=sampling,
        )
        for i, p in enumerate(prompts)
    ]
    return generate(engine_of(NativeEngine, MODEL), asked)


def labelled(*texts: str) -> list[Prompt]:
    """Return prompts whose labels are the greedy answers, but for the first, which is never right."""
    plain = [
        Prompt(row=i, source=f"d.jsonl:{i + 1}", text=t, tokens=TOKENIZER.encode(t), label="never")
        for i, t in enumerate(texts)
    ]
    greedy = answers(plain, GREEDY, num_samples=1)
    return [
        plain[0],
        *[replace(p, label=TOKENIZER.decode(c.tokens)) for p, c in zip(plain[1:], greedy[1:], strict=True)],
    ]


def num_right(prompts: Sequence[Prompt], completions: Sequence[Completion]) -> int:
    return sum(TOKENIZER.decode(c.tokens).strip() == str(prompts[c.request].label).strip() for c in completions)


def measured(sets: Mapping[str, Sequence[Prompt]], *, only: int | None = None, **changes: Any) -> dict[str, float]:
    facts: dict[str, Any] = {**SETTINGS, **changes}
    reward = RewardRunner(Reward(name="exact", level="sample", code=OFF), root=Path())
    worker = RolloutWorker(engine_of(NativeEngine, MODEL, concurrency=5), TOKENIZER, reward, stop_token_ids=END)
    held = [
        HeldOut(i, EvalSet(name=name, path="h.jsonl", format="jsonl", **facts), prompts, worker)
        for i, (name, prompts) in enumerate(sets.items())
        if only is None or i == only
    ]
    return asyncio.run(Evaluator(held, seed=77, confidence=0.95).measure(stage=2))


def test_accuracies_are_the_share_of_right_answers() -> None:
    prompts = labelled("1+1=", "a", "b*c")
    found = measured({"sums": prompts})
    sampled = answers(prompts, HOT, num_samples=16)
    assert 0 < num_right(prompts, sampled) < 48
    assert found["eval/sums/accuracy"] == pytest.approx(num_right(prompts, sampled) / 48)
    assert found["eval/sums/response_tokens_mean"] == sum(len(c.tokens) for c in sampled) / 48
    assert found["eval/sums/num_prompts"] == 3
    assert found["eval/sums/greedy"] == pytest.approx(2 / 3)
    low, high = wilson_interval(2 / 3, 3, confidence=0.95)
    assert (found["eval/sums/greedy_low"], found["eval/sums/greedy_high"]) == pytest.approx((low, high))
    assert found["eval/sums/accuracy_low"] < found["eval/sums/accuracy"] < found["eval/sums/accuracy_high"]


def test_metrics_of_several_responses_are_counted_over_all_subsets() -> None:
    prompts = labelled("1+1=", "a", "b*c")
    settings = {"samples_per_prompt": 5, "metrics": ("pass", "avg", "cons"), "k": (1, 3, 5), "answer": "text"}
    found = measured({"sums": prompts}, **settings)
    texts: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for completion in sorted(answers(prompts, HOT, num_samples=5), key=lambda c: (c.request, c.sample)):
        texts[completion.request].append(TOKENIZER.decode(completion.tokens).strip())
    for k in (1, 3, 5):
        passed: list[float] = []
        agreed: list[float] = []
        for at, given in texts.items():
            right = [text == str(prompts[at].label).strip() for text in given]
            subsets = list(combinations(range(5), k))
            passed.append(sum(any(right[i] for i in subset) for subset in subsets) / len(subsets))
            agreed.append(sum(vote([given[i] for i in s], [right[i] for i in s]) for s in subsets) / len(subsets))
        assert found[f"eval/sums/pass@{k}"] == pytest.approx(sum(passed) / 3)
        assert found[f"eval/sums/cons@{k}"] == pytest.approx(sum(agreed) / 3)
    assert found["eval/sums/pass@1"] == found["eval/sums/avg@5"] == found["eval/sums/accuracy"]
    assert "eval/sums/avg@3" not in found


def vote(given: list[str], right: list[bool]) -> float:
    counts = Counter(text for text in given if text)
    tied = [text for text, count in counts.items() if count == max(counts.values())]
    return sum(right[given.index(text)] for text in tied) / len(tied) if tied else 0.0


def test_a_set_alone_has_the_draws_that_it_has_among_others() -> None:
    first, second = labelled("1+1=", "a"), labelled("7", "8", "9")
    both, alone = measured({"one": first, "two": second}), measured({"one": first, "two": second}, only=1)
    assert alone == {name: value for name, value in both.items() if name.startswith("eval/two/")}


def test_each_set_has_draws_of_its_own() -> None:
    prompts = labelled("1+1=", "a", "b*c")
    found = measured({"one": prompts, "two": prompts})
    for step, name in enumerate(("one", "two")):
        expected = num_right(prompts, answers(prompts, HOT, num_samples=16, step=step)) / 48
        assert found[f"eval/{name}/accuracy"] == pytest.approx(expected)
    assert found["eval/one/accuracy"] != found["eval/two/accuracy"]


def test_a_set_that_is_added_changes_no_other() -> None:
    first, second = labelled("1+1=", "a"), labelled("7", "8", "9")
    alone, both = measured({"one": first}), measured({"one": first, "two": second})
    assert {name: value for name, value in both.items() if name.startswith("eval/one/")} == alone


def test_greedy_is_left_out_where_it_is_not_asked_for() -> None:
    found = measured({"sums": labelled("1+1=")}, greedy=False)
    kinds = ("accuracy", "accuracy_low", "accuracy_high", "response_tokens_mean", "num_prompts")
    assert found.keys() == {f"eval/sums/{kind}" for kind in kinds}


def test_a_reward_as_large_as_the_bound_counts_as_right() -> None:
    prompts = labelled("1+1=", "a")
    assert measured({"sums": prompts}, correct_at=0.0)["eval/sums/accuracy"] == 1
    assert measured({"sums": prompts}, correct_at=1.0)["eval/sums/greedy"] == 0.5
    assert measured({"sums": prompts}, correct_at=1.5)["eval/sums/greedy"] == 0
