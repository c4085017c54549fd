"""The trainer of reward models: scores against transformers' own model, what it learns, and what it saves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from compiler.diagnostics.diagnostic import InternalError, SpecError
from compiler.ir.algorithm import Algo
from compiler.ir.loss import ScoreLoss
from compiler.ir.training import Packing
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.engines.train.reward_model import TorchRewardModel
from runtime.weights.huggingface import SCORE_HEAD, save_model
from stdlib.algorithms import reward_model
from stdlib.samples import TrainBatch
from tests.runtime.engines.tiny_trainer import (
    grouped_batch,
    spec_of,
    tiny_families,
    tiny_train,
    tiny_weights,
)
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

COUNT = 12
UNREAD = {"glm4_moe"}


def some_head() -> Tensor:
    return torch.randn(1, 32, generator=torch.Generator().manual_seed(3))


def scorer_of(
    *, kind: Any = "bradley_terry", seed: int = 0, packing: Any = None, head: Tensor | None = None, **changes: Any
) -> TorchRewardModel:
    params: Any = reward_model.Params(algo=Algo(name="reward_model"), loss=ScoreLoss(kind=kind))
    train = tiny_train(**({} if packing is None else {"packing": packing}))
    spec = spec_of(params=params, train=train, **changes)
    weights = tiny_weights(spec.model, seed)
    return TorchRewardModel(spec, reward_model, weights if head is None else {**weights, SCORE_HEAD: head})


def batch_of_answers(*, row_size: int = 2, seed: int = 0) -> TrainBatch:
    targets = torch.rand(COUNT, generator=torch.Generator().manual_seed(5))
    return replace(grouped_batch(seed), targets_N=targets, row_size=row_size)


def answers_of(batch: TrainBatch) -> list[list[int]]:
    return [part.tolist() for part in batch.tokens_T.split(list(batch.lengths_N))]


def test_transformers_has_no_sequence_classification_of_glm_4_5() -> None:
    assert {name for name in tiny_families() if name not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES} == UNREAD


@pytest.mark.parametrize("family", [name for name in tiny_families() if name not in UNREAD])
def test_scores_are_those_of_the_model_that_transformers_reads_from_a_checkpoint(family: str, tmp_path: Path) -> None:
    model, batch = tiny_families()[family], batch_of_answers()
    scorer = scorer_of(model=model, head=some_head())
    save_model(tmp_path, dict(scorer.named_weights()), model=model, tokenizer=ByteTokenizer())
    read: Any = AutoModelForSequenceClassification.from_pretrained(str(tmp_path), dtype=torch.float32).eval()
    assert read.config.num_labels == 1
    assert read.config.architectures == [type(read).__name__]
    with torch.no_grad():
        expected = [read(input_ids=torch.tensor([answer])).logits[0, 0].item() for answer in answers_of(batch)]
    torch.testing.assert_close(scorer.scores(batch), torch.tensor(expected), atol=1e-5, rtol=1e-4)


def test_regression_is_the_loss_that_transformers_computes(tmp_path: Path) -> None:
    batch = batch_of_answers(row_size=1)
    scorer = scorer_of(kind="regression", head=some_head())
    save_model(tmp_path, dict(scorer.named_weights()), model=tiny_model(), tokenizer=ByteTokenizer())
    read: Any = AutoModelForSequenceClassification.from_pretrained(str(tmp_path), dtype=torch.float32)
    assert batch.targets_N is not None
    with torch.no_grad():
        losses = [
            read(input_ids=torch.tensor([answer]), labels=target[None]).loss.item()
            for answer, target in zip(answers_of(batch), batch.targets_N, strict=True)
        ]
    assert scorer.step(batch)["train/loss"] == pytest.approx(sum(losses) / COUNT, rel=1e-5)


def test_scores_begin_at_zero() -> None:
    assert scorer_of().scores(batch_of_answers()).abs().max() == 0.0


@pytest.mark.parametrize("kind", ["bradley_terry", "regression"])
@pytest.mark.parametrize(
    "packing",
    [Packing(tokens=96), Packing(tokens=96, algorithm="first_fit_shuffle"), Packing(tokens=96, pad_multiple=8)],
)
def test_packing_changes_nothing(kind: str, packing: Any) -> None:
    batch = batch_of_answers(row_size=2 if kind == "bradley_terry" else 1)
    whole, packed = scorer_of(kind=kind, head=some_head()), scorer_of(kind=kind, head=some_head(), packing=packing)
    torch.testing.assert_close(packed.scores(batch), whole.scores(batch), atol=1e-6, rtol=1e-5)
    first, second = whole.step(batch), packed.step(batch)
    for name, found in first.items():
        assert second[name] == pytest.approx(found, abs=1e-6, rel=1e-5), name


def test_what_the_mask_says_changes_nothing() -> None:
    batch = batch_of_answers()
    masked = replace(batch, mask_T=torch.zeros_like(batch.mask_T))
    assert scorer_of(head=some_head()).step(batch) == scorer_of(head=some_head()).step(masked)


def test_the_order_of_pairs_changes_nothing() -> None:
    batch = batch_of_answers()
    answers, targets = answers_of(batch), batch.targets_N
    assert targets is not None
    order = [8, 9, 0, 1, 10, 11, 4, 5, 2, 3, 6, 7]
    turned = replace(
        batch,
        tokens_T=torch.tensor([token for i in order for token in answers[i]]),
        lengths_N=tuple(len(answers[i]) for i in order),
        targets_N=targets[order],
    )
    first, second = scorer_of(head=some_head()), scorer_of(head=some_head())
    torch.testing.assert_close(second.scores(turned), first.scores(batch)[order], atol=1e-6, rtol=1e-5)
    assert second.step(turned) == pytest.approx(first.step(batch), abs=1e-5, rel=1e-4)


def test_every_weight_but_the_head_over_the_vocabulary_is_trained() -> None:
    model = tiny_model(tie_embeddings=False)
    scorer = scorer_of(model=model, head=some_head())
    before = {name: tensor.clone() for name, tensor in scorer.named_weights()}
    assert set(before) == {*tiny_weights(model), SCORE_HEAD} - {"lm_head.weight"}
    scorer.step(batch_of_answers())
    assert [name for name, tensor in scorer.named_weights() if tensor.equal(before[name])] == []


def test_scores_are_learnt() -> None:
    scorer, batch = scorer_of(kind="regression"), batch_of_answers(row_size=1)
    errors = [scorer.step(batch)["train/mse"] for _ in range(40)]
    assert errors[-1] < 0.1 * errors[0]


def test_a_reward_model_goes_on_from_its_state_bit_by_bit() -> None:
    first, batch = scorer_of(), batch_of_answers()
    first.step(batch)
    second = scorer_of(seed=1)
    second.load_state(first.state())
    assert first.step(batch) == second.step(batch)
    assert all(tensor.equal(second.state()[name]) for name, tensor in first.state().items())


def test_a_state_of_another_shape_is_refused() -> None:
    scorer = scorer_of()
    with pytest.raises(SpecError, match="RLC0644"):
        scorer.load_state({**scorer.state(), f"model.{SCORE_HEAD}": torch.zeros(1, 3)})


def test_an_infinite_target_changes_nothing() -> None:
    scorer, batch = scorer_of(kind="regression"), batch_of_answers(row_size=1)
    before = scorer.state()
    with pytest.raises(SpecError, match="RLC0641"):
        scorer.step(replace(batch, targets_N=torch.full((COUNT,), torch.inf)))
    assert all(tensor.equal(before[name]) for name, tensor in scorer.state().items())


def test_a_batch_without_targets_is_refused() -> None:
    with pytest.raises(InternalError, match="targets"):
        scorer_of().step(grouped_batch())
