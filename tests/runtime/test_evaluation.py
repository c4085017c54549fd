"""Evaluation: accuracies counted again from what the engine answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Never

import pytest

from compiler.ir.data import Eval, EvalSampling
from compiler.ir.model import Tokenizer
from compiler.ir.openness import OFF
from compiler.ir.rollout import Reward, Sampling
from runtime.data.tokenizers import load_tokenizer
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.evaluation import Evaluator
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


def measured(sets: Mapping[str, Sequence[Prompt]], **changes: Any) -> dict[str, float]:
    facts: dict[str, Any] = {"samples_per_prompt": 16, **changes}
    sampling: EvalSampling[Never] = EvalSampling(temperature=0.8, top_p=0.9, top_k=20)
    settings: Eval[Never] = Eval(sets=(), sampling=sampling, **facts)
    reward = RewardRunner(Reward(name="exact", level="sample", code=OFF), root=Path())
    worker = RolloutWorker(engine_of(NativeEngine, MODEL, concurrency=5), TOKENIZER, reward, stop_token_ids=END)
    evaluator = Evaluator(settings, sets, worker, seed=77, max_new_tokens=2)
    return asyncio.run(evaluator.measure(stage=2))


def test_accuracies_are_the_share_of_right_answers() -> None:
    prompts = labelled("1+1=", "a", "b*c")
    found = measured({"sums": prompts})
    sampled = answers(prompts, HOT, num_samples=16)
    assert 0 < num_right(prompts, sampled) < 48
    assert found == {
        "eval/sums/accuracy": num_right(prompts, sampled) / 48,
        "eval/sums/response_tokens_mean": sum(len(c.tokens) for c in sampled) / 48,
        "eval/sums/num_prompts": 3,
        "eval/sums/greedy": 2 / 3,
    }


def test_each_set_has_draws_of_its_own() -> None:
    prompts = labelled("1+1=", "a", "b*c")
    found = measured({"one": prompts, "two": prompts})
    for step, name in enumerate(("one", "two")):
        expected = num_right(prompts, answers(prompts, HOT, num_samples=16, step=step)) / 48
        assert found[f"eval/{name}/accuracy"] == expected
    assert found["eval/one/accuracy"] != found["eval/two/accuracy"]


def test_a_set_that_is_added_changes_no_other() -> None:
    first, second = labelled("1+1=", "a"), labelled("7", "8", "9")
    alone, both = measured({"one": first}), measured({"one": first, "two": second})
    assert {name: value for name, value in both.items() if name.startswith("eval/one/")} == alone


def test_greedy_is_left_out_where_it_is_not_asked_for() -> None:
    found = measured({"sums": labelled("1+1=")}, greedy=False)
    assert found.keys() == {"eval/sums/accuracy", "eval/sums/response_tokens_mean", "eval/sums/num_prompts"}


def test_a_reward_as_large_as_the_bound_counts_as_right() -> None:
    prompts = labelled("1+1=", "a")
    assert measured({"sums": prompts}, correct_at=0.0)["eval/sums/accuracy"] == 1
    assert measured({"sums": prompts}, correct_at=1.0)["eval/sums/greedy"] == 0.5
    assert measured({"sums": prompts}, correct_at=1.5)["eval/sums/greedy"] == 0
