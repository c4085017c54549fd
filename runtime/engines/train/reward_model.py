"""A trainer of reward models on PyTorch: the network of the model with a head of one number, in one process.

The score of an answer is the head's number at its last token: where a sequence-classification model of Hugging Face
reads it, whose names the weights have.  What stands behind the answer is not there, so a batch holds no padding.

Shape letters: N answers, T tokens of all of them end to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError
from runtime.engines.train.forward import accumulated, micro_batches
from runtime.engines.train.optimizer import Optimizer
from runtime.engines.train.packed_batch import PackedBatch
from runtime.engines.train.spread import OneProcess, Spread
from runtime.engines.train.state import Held, check_state, held_by, held_by_rule, load, load_rule, saved, wholes
from runtime.engines.train.torch_ import TrainerSpec
from runtime.weights.huggingface import SCORE_HEAD
from stdlib.algorithms._terms import Algorithm, LossOutput, ScoreTerms, Totals
from stdlib.samples import TrainBatch


class TorchRewardModel:
    """Implements runtime.protocols.Scorer.

    Args:
        algorithm: a module of stdlib/algorithms/, whose Params `spec.params` is an instance of.
        weights: initial weights by Hugging Face name; copied.  Without `score.weight` the head begins with zeros; a
            head over the vocabulary is left out.
        spread: over which processes; this one alone, if nothing is said.

    Raises: SpecError RLC0640 if the weights do not fit the model.
    """

    def __init__(
        self,
        spec: TrainerSpec,
        algorithm: Algorithm,
        weights: Mapping[str, Tensor],
        *,
        spread: Spread | None = None,
    ) -> None:
        self._spec = spec
        self._spread = OneProcess() if spread is None else spread
        self._algorithm = algorithm
        self._network = self._spread.scalar_network(spec.model, weights, head=SCORE_HEAD)
        self._optimizer = Optimizer(spec.optim, self._network.trained(), norm=self._network.norm)

    def scores(self, batch: TrainBatch) -> Tensor:
        """Return [N] float32 the score of each answer.  Raises: SpecError RLC0642 if one is above the token budget."""
        found_N = torch.full((len(batch.lengths_N),), -torch.inf)
        with torch.no_grad():
            for micro in self._micro_batches(batch):
                scores_N = self._network.run(partial(self._network.numbers, micro.packed, self._spec.train))
                if micro.answers.numel():
                    found_N[micro.answers] = scores_N
        self._network.rest()
        return self._spread.joined(found_N)

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a global batch with targets and return its metrics, `train/...`.

        Raises: SpecError RLC0641 if loss or gradient is not finite, before any weight has changed; RLC0642 if the batch
        cannot be cut.
        """
        count = len(batch.lengths_N)
        totals = Totals(num_tokens=count, num_sequences=count, num_nonempty=count)
        shares = (self._network.run(partial(self._loss, batch, m, totals)) for m in self._micro_batches(batch))
        loss, means = accumulated(shares, totals, self._spread)
        self._network.settle()
        metrics = self._optimizer.update(loss, means, role="train", not_finite=score_not_finite)
        return metrics | {"train/num_tokens": float(sum(batch.lengths_N))}

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the live weights by their Hugging Face names, fp32, the head among them."""
        for name, part in self._network.held().items():
            yield name, self._network.whole(name, part)

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs: `model.<name>`, `optim.step`, `optim.<moment>.<name>`."""
        return saved(self._held(), keeps=self._spread.keeps_state)

    def whole_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield what `state` returns tensor by tensor, not copied: every process goes through all of them."""
        return wholes(self._held())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what state() returned; from here on training continues bit by bit as it would have.

        Raises: SpecError RLC0644 if names or shapes differ from this trainer's own.
        """
        held = self._held()
        check_state(held, state, what="the checkpoint does not fit the reward model")
        load({name: own for name, own in held.items() if not name.startswith("optim.")}, state)
        load_rule(self._optimizer, self._network, state, "optim")

    def _held(self) -> dict[str, Held]:
        return held_by(self._network, "model") | held_by_rule(self._optimizer, self._network, "optim")

    def _micro_batches(self, batch: TrainBatch) -> Iterator[_MicroBatch]:
        """Yield the micro-batches of a batch; the one number that is wanted of an answer stands before its end."""
        ends_T = with_ends(batch)
        last = torch.tensor([end - 1 for end in accumulate(ends_T.lengths_N)])
        wanted_T = torch.zeros(len(ends_T.tokens_T)).index_fill(0, last, 1.0)
        # Cut by the answers' own lengths: the place behind each holds no token.
        dealt = self._spread.deal(batch, self._spec, torch.ones_like(batch.mask_T))
        filled = (answers for answers in dealt if sum(batch.lengths_N[i] for i in answers) or not answers)
        for answers, (packed, _) in zip(
            filled, micro_batches(ends_T, dealt, wanted_T, self._network.heads), strict=True
        ):
            yield _MicroBatch(torch.tensor(answers, dtype=torch.int64), packed)

    def _loss(self, batch: TrainBatch, micro: _MicroBatch, totals: Totals) -> LossOutput:
        if batch.targets_N is None:
            raise InternalError("a reward model was given a batch without targets")
        scores_N = self._network.numbers(micro.packed, self._spec.train)
        if not micro.answers.numel():
            return LossOutput(scores_N.sum() * 0.0, {})
        terms = ScoreTerms(scores_N=scores_N, targets_N=batch.targets_N[micro.answers])
        return self._algorithm.loss(self._spec.params, terms, totals)


class _MicroBatch(NamedTuple):
    """Some answers of a batch, and the micro-batch of them, with one wanted place for each, in their order.

    Without answers it only keeps step with other processes.
    """

    answers: Tensor
    packed: PackedBatch


def with_ends(batch: TrainBatch) -> TrainBatch:
    """Return the batch with a place behind each answer: what is read before it is the state after the whole answer."""
    parts = batch.tokens_T.split(list(batch.lengths_N))
    tokens_T = torch.cat([piece for part in parts for piece in (part, part.new_zeros(1))])
    return replace(batch, tokens_T=tokens_T, lengths_N=tuple(n + 1 for n in batch.lengths_N))


def score_not_finite(step: int, loss: float, grad_norm: float) -> Diagnostic:
    """Say that a step was not taken."""
    return Diagnostic(
        "RLC0641",
        f"optimizer step {step} has loss {loss:g} and gradient norm {grad_norm:g}; the weights are unchanged",
        help=(Help("lower optim.lr or set optim.clip_grad_norm, and look at the scores and margins of the data"),),
        paths=("optim.lr", "optim.clip_grad_norm"),
    )
