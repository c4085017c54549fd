"""A reward model: read once, asked about groups, held against the model called by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Never

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.data import ScoredSource
from compiler.ir.openness import OFF
from compiler.ir.reward_settings import RewardModel
from compiler.ir.rollout import Reward
from runtime.data.lengths import Limit
from runtime.data.scores import load_scores
from runtime.data.tokenizers import CharacterTokenizer
from runtime.rewards import reward_model
from runtime.rewards.runner import RewardRunner
from stdlib.samples import Group, Message
from tests.support.chat_tokenizer import tokenizer_with
from tests.support.judged import arriving, asked, rewards
from tests.support.scorer import ALPHABET, save_scorer

pytestmark = pytest.mark.torch

TOKENIZER = CharacterTokenizer(ALPHABET)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_scorer(tmp_path_factory.mktemp("scorer"))


def copied(saved: Path, folder: Path) -> Path:
    folder.mkdir()
    for file in saved.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def runner_of(directory: Path, **settings: Any) -> RewardRunner:
    values: dict[str, Any] = {"path": directory.name, **settings}
    reward = Reward(
        name="reward_model",
        level="sample",
        code=OFF,
        reward_model=RewardModel(**values),
        on_failure="score",
        failure_score=-9.0,
    )
    return RewardRunner(reward, root=directory.parent)


def judged(directory: Path, *groups: Group, **settings: Any) -> tuple[list[list[float | None]], dict[str, float]]:
    runner = runner_of(directory, **settings)
    found = asyncio.run(runner.score_all(arriving(*groups)))
    metrics = runner.take_metrics()
    runner.close()
    return rewards(found), metrics


def by_hand(saved: Path, texts: list[str]) -> list[float]:
    model: Any = AutoModelForSequenceClassification.from_pretrained(str(saved))
    model.eval()
    with torch.no_grad():
        return [model(input_ids=torch.tensor([TOKENIZER.encode(text)])).logits[0, 0].item() for text in texts]


def test_scores_are_those_of_each_text_alone(saved: Path) -> None:
    found, metrics = judged(saved, asked(0, "1+1=", "2", "11", "2+2+2=6"), asked(1, "9=", "9"))
    expected = by_hand(saved, ["1+1=2", "1+1=11", "1+1=2+2+2=6", "9=9"])
    assert [score for row in found for score in row] == pytest.approx(expected, abs=1e-6)
    assert metrics["reward/model_batches"] == 2


def test_batches_hold_as_many_tokens_as_they_may(saved: Path) -> None:
    groups = [asked(0, "1=", "1", "2", "3", "4", "1+1+1+1+1+1")]
    whole, metrics = judged(saved, *groups)
    assert metrics["reward/model_batches"] == 1
    # Four texts of 3 tokens, of which 9 tokens hold three; the one of 13 is alone.
    parts, metrics = judged(saved, *groups, batch_tokens=9)
    assert metrics["reward/model_batches"] == 3
    assert parts[0] == pytest.approx(whole[0], abs=1e-6)


def test_scores_do_not_depend_on_when_groups_arrive(saved: Path) -> None:
    groups = [asked(i, "1+1=", "2", "1+1+1=3", str(i)) for i in range(4)]
    runner = runner_of(saved)

    async def one_by_one() -> Iterator[list[float | None]]:
        return iter([rewards(await runner.score_all(arriving(one)))[0] for one in groups])

    apart = list(asyncio.run(one_by_one()))
    together = rewards(asyncio.run(runner.score_all(arriving(*groups))))
    runner.close()
    assert apart == together  # bit by bit


def test_the_model_is_read_once(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    load = reward_model._load

    def counted(directory: Path, settings: RewardModel) -> Any:
        loads.append(1)
        return load(directory, settings)

    monkeypatch.setattr(reward_model, "_load", counted)
    runner = runner_of(saved)
    for _ in range(3):
        asyncio.run(runner.score_all(arriving(asked(0, "1=", "1"))))
    runner.close()
    assert loads == [1]


def test_a_score_may_be_squashed(saved: Path) -> None:
    (plain,), _ = judged(saved, asked(0, "1=", "1"))
    (squashed,), _ = judged(saved, asked(0, "1=", "1"), squash="sigmoid")
    assert squashed[0] == pytest.approx(torch.tensor(plain[0]).sigmoid().item())


def test_a_text_that_is_too_long_or_empty_fails_alone(saved: Path) -> None:
    found, metrics = judged(saved, asked(0, "1=", "1", "1+1+1+1"), asked(1, "", ""), max_tokens=4)
    assert found[0] == [pytest.approx(by_hand(saved, ["1=1"])[0], abs=1e-6), -9.0]
    assert (found[1], metrics["reward/failed"]) == ([-9.0], 2)


def test_a_score_that_is_not_finite_is_a_failure(saved: Path, tmp_path: Path) -> None:
    directory = copied(saved, tmp_path / "broken")
    weights = load_file(directory / "model.safetensors")
    weights["score.weight"].fill_(float("nan"))
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    found, metrics = judged(directory, asked(0, "1=", "1"))
    assert (found, metrics["reward/failed/value"]) == ([[-9.0]], 1)


def refused(directory: Path) -> str:
    with pytest.raises(SpecError) as caught:
        runner_of(directory)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "RLC0684"
    return diagnostic.message


def test_what_is_no_reward_model_is_refused_at_the_start(saved: Path, tmp_path: Path) -> None:
    assert "has no config.json" in refused(tmp_path / "absent")
    pickled = copied(saved, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    assert "has no weights in safetensors" in refused(pickled)
    headless = copied(saved, tmp_path / "headless")
    weights = load_file(headless / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, headless / "model.safetensors", metadata={"format": "pt"})
    assert "its weights lack score.weight" in refused(headless)


def test_two_outputs_are_no_score(saved: Path, tmp_path: Path) -> None:
    directory = copied(saved, tmp_path / "classes")
    config = json.loads((directory / "config.json").read_text())
    config["id2label"] = {"0": "bad", "1": "good"}
    config["label2id"] = {"bad": 0, "good": 1}
    (directory / "config.json").write_text(json.dumps(config))
    weights = load_file(directory / "model.safetensors")
    weights["score.weight"] = weights["score.weight"].repeat(2, 1)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    assert "it has 2 outputs" in refused(directory)


def test_code_of_the_directory_is_never_run(saved: Path, tmp_path: Path) -> None:
    directory = copied(saved, tmp_path / "coded")
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "code.Scorer", "AutoConfig": "code.Config"}
    config["model_type"] = "mine"
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    refused(directory)
    assert not (tmp_path / "ran").exists()


TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}<eos>{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.mark.parametrize("merges", [(), (("]", "y"),)], ids=["apart", "a token over the border"])
@pytest.mark.parametrize("chats", [True, False])
def test_what_is_read_is_what_was_trained(tmp_path: Path, *, chats: bool, merges: tuple[tuple[str, str], ...]) -> None:
    tokenizer = tokenizer_with(tmp_path / "files", TEMPLATE, *merges)
    messages: list[Message] = [{"role": "user", "content": "is it?"}]
    row = {"input": messages if chats else "is it?", "response": "yes", "score": 1.0}
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    source = ScoredSource[Never](path="d.jsonl", format="jsonl")
    (trained,) = load_scores([source], tokenizer, root=tmp_path, limit=Limit(1000, "error", "x")).rows
    group = asked(0, "is it?", "yes")
    prompt = replace(group.prompt, messages=tuple(messages) if chats else ())
    sample = replace(group.samples[0], prompt=prompt)
    theirs = AutoTokenizer.from_pretrained(str(tmp_path / "files"), local_files_only=True)
    found = reward_model.read_tokens(theirs, sample, ends_with_eos=True)
    assert found == trained.answer.tokens
    assert found[-1] == tokenizer.eos_token_id
